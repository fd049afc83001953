"""wait: a client says that it is about to block until a task ends."""

from __future__ import annotations

import pytest

from tests.protocol.bench import Bench


@pytest.mark.parametrize("state", ["queued", "scheduled", "running"])
def test_a_waiter_is_counted_while_the_task_has_not_ended(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000)
    assert any_bench.run(any_bench.protocol.wait("a")) == state
    assert any_bench.changes() == {"task a waiting": "1"}
    any_bench.run(any_bench.protocol.wait("a"))
    assert any_bench.changes() == {"task a waiting": "2"}


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_an_ended_task_gives_the_token_at_once(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000)
    assert any_bench.run(any_bench.protocol.wait("a")) == state
    assert any_bench.changes() == {
        "done a": [state],
        "ttl done a": pytest.approx(10_000, abs=1500),
    }


def test_nobody_blocks_for_a_task_that_is_not_there(any_bench: Bench) -> None:
    assert any_bench.run(any_bench.protocol.wait("nobody")) is None
    assert any_bench.changes() == {
        "done nobody": ["none"],
        "ttl done nobody": pytest.approx(10_000, abs=1500),
    }
