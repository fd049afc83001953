"""fail: end one attempt without a result."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.bench import Bench, failure


def common(bench: Bench, state: str) -> dict[str, Any]:
    """What every failure of task `a` changes."""
    event = {"verb": "fail", "tasks": "a/1/1000/2.5", "worker": "w", "reason": "E: m"}
    return {
        "running a": None,
        "task a state": state,
        "task a error": '{"type":"E","message":"m"}',
        "task a started_ms": 1000,
        "task a run_ms": 2.5,
        "stats fail": 1,
        "events": [{**event, "state": state}],
    }


def test_a_failed_attempt_is_scheduled_again(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    again = failure("a", "scheduled", delay_ms=30_000)
    assert any_bench.run(any_bench.protocol.fail("w", again)) == 1
    due = any_bench.in_ms(30_000)
    expected = {**common(any_bench, "scheduled"), "scheduled a": due, "task a due_ms": due}
    assert any_bench.changes() == expected


@pytest.mark.parametrize(("state", "place"), [("failed", "failed"), ("cancelled", "finished")])
def test_the_end_of_a_task_is_kept_and_told(any_bench: Bench, state: str, place: str) -> None:
    any_bench.put("a", "running", at_ms=5000, waiting=2)
    assert any_bench.run(any_bench.protocol.fail("w", failure("a", state))) == 1
    settings = any_bench.settings
    keep_ms = 1000 * (settings.keep_failed_s if state == "failed" else settings.keep_s)
    assert any_bench.changes() == {
        **common(any_bench, state),
        f"{place} a": any_bench.in_ms(keep_ms),
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": pytest.approx(keep_ms, abs=1500),
        "done a": [state, state],
        "ttl done a": pytest.approx(10_000, abs=1500),
    }


@pytest.mark.parametrize("state", ["scheduled", "failed", "cancelled"])
def test_r3_a_stale_attempt_cannot_fail(any_bench: Bench, state: str) -> None:
    any_bench.put("a", "running", at_ms=5000, attempt=2)
    assert any_bench.run(any_bench.protocol.fail("w", failure("a", state))) == 0
    assert any_bench.changes() == {}


@pytest.mark.parametrize("state", ["queued", "scheduled", "succeeded", "failed", "cancelled"])
def test_r3_a_task_that_does_not_run_cannot_fail(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000, attempt=1)
    assert any_bench.run(any_bench.protocol.fail("w", failure("a"))) == 0
    assert any_bench.changes() == {}


def test_a_waiting_client_is_not_told_of_an_attempt_that_is_tried_again(bench: Bench) -> None:
    bench.put("a", "running", at_ms=5000, waiting=1)
    bench.run(bench.protocol.fail("w", failure("a", "scheduled", delay_ms=1000)))
    assert "done a" not in bench.changes()


def test_a_wished_cancellation_wins_over_another_attempt(bench: Bench) -> None:
    """Who cancelled it does not want it to run again after the backoff."""
    bench.put("a", "running", at_ms=5000, cancel="please")
    bench.run(bench.protocol.fail("w", failure("a", "scheduled", delay_ms=1000)))
    assert bench.changes()["task a state"] == "cancelled"
