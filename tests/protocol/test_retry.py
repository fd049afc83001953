"""retry: a human gives a failed task its attempts anew."""

from __future__ import annotations

import pytest

from miniqueue.errors import InvalidTransition, TaskNotFound
from tests.protocol.bench import Bench


def test_a_failed_task_waits_at_the_end_of_its_list(any_bench: Bench) -> None:
    any_bench.put("first", priority="low")
    any_bench.put("a", "failed", at_ms=60_000, attempt=3, priority="low", finished_ms=1)
    assert any_bench.run(any_bench.protocol.retry("a")) == "queued"
    assert any_bench.changes() == {
        "failed a": None,
        "ready:low": ["first", "a"],
        "task a state": "queued",
        "task a released": "3",
        "task a due_ms": any_bench.in_ms(0),
        "task a finished_ms": None,
        "ttl task a": None,
        "wake": 1,
        "stats retry": 1,
        "events": [{"verb": "retry", "tasks": "a/3"}],
    }


def test_a_retried_task_has_all_its_attempts_and_a_higher_fence(any_bench: Bench) -> None:
    any_bench.put("a", "failed", at_ms=60_000, attempt=3)
    any_bench.client.run(any_bench.protocol.retry("a"))
    (task,) = any_bench.client.run(any_bench.protocol.claim("w", 1)).tasks
    assert task.attempt == 4
    assert task.attempt - task.released == 1


def test_a_retry_forgets_the_wish_to_cancel_and_the_expiry(bench: Bench) -> None:
    bench.put("a", "failed", at_ms=60_000, attempt=1, cancel="please", expires_ms=1)
    bench.run(bench.protocol.retry("a"))
    changes = bench.changes()
    assert changes["task a cancel"] is None
    assert changes["task a expires_ms"] is None


@pytest.mark.parametrize("state", ["queued", "scheduled", "running", "succeeded", "cancelled"])
def test_only_a_failed_task_can_be_retried(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000)
    with pytest.raises(InvalidTransition) as raised:
        any_bench.run(any_bench.protocol.retry("a"))
    assert (raised.value.state, raised.value.verb) == (state, "retry")
    assert any_bench.changes() == {}


def test_an_unknown_task_cannot_be_retried(any_bench: Bench) -> None:
    with pytest.raises(TaskNotFound):
        any_bench.run(any_bench.protocol.retry("nobody"))
    assert any_bench.changes() == {}
