"""cancel: at once where the task waits, a wish where it runs."""

from __future__ import annotations

import pytest

from miniqueue.errors import InvalidTransition, TaskNotFound
from tests.protocol.bench import Bench


@pytest.mark.parametrize("state", ["queued", "scheduled"])
@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_a_waiting_task_is_cancelled_at_once(any_bench: Bench, state: str, priority: str) -> None:
    any_bench.put("a", state, at_ms=60_000, priority=priority, waiting=2)
    assert any_bench.run(any_bench.protocol.cancel("a")) == state
    changes = any_bench.changes()
    place = "scheduled a" if state == "scheduled" else f"ready:{priority}"
    left: list[str] | None = None if state == "scheduled" else []
    keep_ms = any_bench.settings.keep_s * 1000
    error = changes.pop("task a error")
    assert '"type":"Cancelled"' in error
    assert '"message":"cancelled by request"' in error
    assert changes == {
        place: left,
        "finished a": any_bench.in_ms(keep_ms),
        "task a state": "cancelled",
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": pytest.approx(keep_ms, abs=1500),
        "done a": ["cancelled", "cancelled"],
        "ttl done a": pytest.approx(10_000, abs=1500),
        "stats cancel": 1,
        "events": [
            {"verb": "cancel", "tasks": "a/0", "state": state, "reason": "cancelled by request"}
        ],
    }


def test_a_running_task_is_only_asked_to_end(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    assert any_bench.run(any_bench.protocol.cancel("a", "no longer needed")) == "running"
    assert any_bench.changes() == {
        "task a cancel": "no longer needed",
        "stats cancel": 1,
        "events": [
            {"verb": "cancel", "tasks": "a/1", "state": "running", "reason": "no longer needed"}
        ],
    }


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_an_ended_task_cannot_be_cancelled(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000)
    with pytest.raises(InvalidTransition) as raised:
        any_bench.run(any_bench.protocol.cancel("a"))
    assert (raised.value.state, raised.value.verb) == (state, "cancel")
    assert any_bench.changes() == {}


def test_an_unknown_task_cannot_be_cancelled(any_bench: Bench) -> None:
    with pytest.raises(TaskNotFound):
        any_bench.run(any_bench.protocol.cancel("nobody"))
    assert any_bench.changes() == {}


def test_the_others_in_its_list_keep_their_order(bench: Bench) -> None:
    bench.put_all(["x", "a", "y"])
    bench.run(bench.protocol.cancel("a"))
    assert bench.changes()["ready:normal"] == ["x", "y"]
