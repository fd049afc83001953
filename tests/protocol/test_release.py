"""release: hand back what was not started."""

from __future__ import annotations

import pytest

from tests.protocol.bench import Bench


def test_a_released_task_is_first_in_its_list_again(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    any_bench.put("next")
    assert any_bench.run(any_bench.protocol.release("w", [("a", 1)])) == [1]
    assert any_bench.changes() == {
        "running a": None,
        "ready:normal": ["a", "next"],
        "task a state": "queued",
        "task a released": "1",
        "wake": 1,
        "stats release": 1,
        "events": [{"verb": "release", "tasks": "a/1", "worker": "w"}],
    }


def test_several_come_back_in_the_order_in_which_they_were_claimed(any_bench: Bench) -> None:
    any_bench.put("h1", priority="high")
    any_bench.put_all(["a", "b", "c", "d"])
    tasks = any_bench.client.run(any_bench.protocol.claim("w", 4)).tasks
    held = [(task.id, task.attempt) for task in tasks]
    assert any_bench.run(any_bench.protocol.release("w", held)) == [1, 1, 1, 1]
    changes = any_bench.changes()
    assert changes["ready:high"] == ["h1"]
    assert changes["ready:normal"] == ["a", "b", "c", "d"]
    assert changes["wake"] == 4


@pytest.mark.parametrize("priority", ["high", "low"])
def test_a_released_task_keeps_its_priority(bench: Bench, priority: str) -> None:
    bench.put("a", "running", at_ms=5000, priority=priority)
    bench.run(bench.protocol.release("w", [("a", 1)]))
    assert bench.changes()[f"ready:{priority}"] == ["a"]


def test_a_release_does_not_count_as_an_attempt_and_the_fence_never_falls(bench: Bench) -> None:
    bench.put("a")
    for turn in (1, 2, 3):
        (task,) = bench.client.run(bench.protocol.claim("w", 1)).tasks
        assert (task.attempt, task.released) == (turn, turn - 1)
        bench.client.run(bench.protocol.release("w", [("a", turn)]))
    (task,) = bench.client.run(bench.protocol.claim("w", 1)).tasks
    assert task.attempt == 4
    assert bench.queue.get("a").tries == 1


def test_r3_a_stale_attempt_cannot_release(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000, attempt=2)
    assert any_bench.run(any_bench.protocol.release("w", [("a", 1)])) == [0]
    assert any_bench.changes() == {}


@pytest.mark.parametrize("state", ["queued", "scheduled", "succeeded", "failed", "cancelled"])
def test_r3_a_task_that_does_not_run_cannot_be_released(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000, attempt=1)
    assert any_bench.run(any_bench.protocol.release("w", [("a", 1)])) == [0]
    assert any_bench.changes() == {}


def test_the_fates_come_in_the_order_of_the_question(bench: Bench) -> None:
    bench.put("a", "running", at_ms=5000)
    bench.put("stale", "running", at_ms=5000, attempt=2)
    assert bench.run(bench.protocol.release("w", [("a", 1), ("stale", 1)])) == [1, 0]
    changes = bench.changes()
    assert changes["ready:normal"] == ["a"]
    assert changes["events"] == [{"verb": "release", "tasks": "a/1", "worker": "w"}]


def test_r6_hints_stay_capped(bench: Bench) -> None:
    held = [(task_id, 1) for task_id in bench.put_all((f"t{i}" for i in range(90)), "running")]
    bench.run(bench.protocol.release("w", held))
    assert bench.changes()["wake"] == 64


def test_a_wished_cancellation_ends_a_task_that_comes_back(bench: Bench) -> None:
    """Else it would run once more before a worker looks at the wish."""
    bench.put("a", "running", at_ms=5000, cancel="please")
    bench.run(bench.protocol.release("w", [("a", 1)]))
    assert bench.changes()["task a state"] == "cancelled"
