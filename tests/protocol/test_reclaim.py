"""reclaim: take back tasks whose lease ran out. Leases are aged with ZADD, nobody sleeps."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from miniqueue.redis_client import connect
from tests.protocol.bench import HOUR_MS, Bench, about, failure, snapshot


def age(bench: Bench, task_id: str, by_ms: int = 60_000) -> None:
    """Let the lease of a running task have run out."""
    bench.client.raw.zadd(bench.keys.running, {task_id: bench.now() - by_ms}, xx=True)


def message(bench: Bench, task_id: str) -> str:
    error: dict[str, Any] = json.loads(bench.fields(task_id)["error"])
    return str(error["message"])


def test_r4_a_task_whose_lease_ran_out_is_queued_first_and_told(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, worker="dead")
    any_bench.put("next")
    assert any_bench.run(any_bench.protocol.reclaim()) == 1
    assert any_bench.changes() == {
        "running a": None,
        "ready:normal": ["a", "next"],
        "task a state": "queued",
        "task a lost_worker": "dead",
        "task a lost_ms": any_bench.in_ms(0),
        "task a deaths": "1",
        "wake": 1,
        "stats reclaim": 1,
        "events": [{"verb": "reclaim", "tasks": "a/1", "worker": "dead", "state": "queued"}],
    }


def test_a_lease_that_lives_is_left_alone(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=2000)
    assert any_bench.run(any_bench.protocol.reclaim()) == 0
    assert any_bench.changes() == {}


def test_reclaim_keeps_the_fence(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, attempt=2)
    any_bench.client.run(any_bench.protocol.reclaim())
    (task,) = any_bench.client.run(any_bench.protocol.claim("w2", 1)).tasks
    assert task.attempt == 3


def test_r4_a_task_that_kills_its_workers_ends_in_failed_and_says_so(any_bench: Bench) -> None:
    any_bench.put("a", max_attempts=3, waiting=1)
    for turn in (1, 2, 3):
        any_bench.client.run(any_bench.protocol.claim(f"w{turn}", 1))
        age(any_bench, "a")
        assert any_bench.run(any_bench.protocol.reclaim()) == 1
    changes = any_bench.changes()
    keep_ms = any_bench.settings.keep_failed_s * 1000
    assert message(any_bench, "a") == "its worker died 3 times, the last one was w3"
    assert changes.pop("task a lost_ms", about(any_bench.now())) == any_bench.in_ms(0)
    changes.pop("task a error")
    assert changes == {
        "running a": None,
        "failed a": any_bench.in_ms(keep_ms),
        "task a state": "failed",
        "task a lost_worker": "w3",
        "task a deaths": "3",
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": pytest.approx(keep_ms, abs=1500),
        "done a": ["failed"],
        "ttl done a": pytest.approx(10_000, abs=1500),
        "stats reclaim": 3,
        "events": [{"verb": "reclaim", "tasks": "a/3", "worker": "w3", "state": "failed"}],
    }


def test_r4_what_was_handed_back_unstarted_does_not_count(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, attempt=5, released=3, max_attempts=3)
    any_bench.run(any_bench.protocol.reclaim())
    assert any_bench.changes()["task a state"] == "queued"


def test_the_last_attempt_ends_in_failed_after_one_death(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, max_attempts=1, worker="w9")
    any_bench.run(any_bench.protocol.reclaim())
    assert any_bench.changes()["task a state"] == "failed"
    assert message(any_bench, "a") == "its worker died 1 time, the last one was w9"


def test_attempts_that_failed_by_themselves_are_not_told_as_deaths(bench: Bench) -> None:
    bench.put("a", max_attempts=2)
    bench.client.run(bench.protocol.claim("w1", 1))
    bench.client.run(bench.protocol.fail("w1", failure("a", "scheduled")))
    bench.client.run(bench.protocol.promote())
    bench.client.run(bench.protocol.claim("w2", 1))
    age(bench, "a")
    bench.run(bench.protocol.reclaim())
    assert bench.changes()["task a state"] == "failed"
    assert "died 2 times" not in message(bench, "a")


def test_a_cancelled_task_whose_worker_died_is_not_run_again(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, cancel="please", waiting=1)
    any_bench.run(any_bench.protocol.reclaim())
    changes = any_bench.changes()
    assert changes["task a state"] == "cancelled"
    keep_ms = any_bench.settings.keep_s * 1000  # as any cancelled task, not as a failed one
    assert changes["finished a"] == any_bench.in_ms(keep_ms)
    assert changes["ttl task a"] == about(keep_ms)
    assert "finished a" in changes
    assert changes["done a"] == ["cancelled"]
    assert changes["events"][0]["state"] == "cancelled"
    assert "ready:normal" not in changes


def test_r7_one_reclaim_moves_a_hundred_at_most(any_bench: Bench) -> None:
    any_bench.put_all((f"t{i}" for i in range(150)), "running", at_ms=-1)
    assert any_bench.run(any_bench.protocol.reclaim()) == 100
    assert len(any_bench.changes()["ready:normal"]) == 100
    assert any_bench.run(any_bench.protocol.reclaim()) == 50
    assert len(any_bench.changes()["ready:normal"]) == 150


def test_r4_a_second_reclaim_finds_nothing(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1)
    any_bench.client.run(any_bench.protocol.reclaim())
    assert any_bench.run(any_bench.protocol.reclaim()) == 0
    assert any_bench.changes() == {}


def test_r4_reclaims_at_the_same_time_move_each_task_once(bench: Bench) -> None:
    total = 350
    bench.put_all((f"t{i}" for i in range(total)), "running", at_ms=-1)
    moved: list[int] = []

    def reclaim() -> None:
        client = connect(bench.settings)
        while found := client.run(bench.protocol.reclaim()):
            moved.append(found)
        client.close()

    threads = [threading.Thread(target=reclaim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == total
    ready = bench.client.raw.lrange(bench.keys.ready[1], 0, -1)
    assert sorted(ready) == sorted(f"t{i}" for i in range(total))
    assert snapshot(bench.client, bench.queue)["stats reclaim"] == total
    bench.sound()


def test_an_id_whose_hash_is_gone_leaves_the_running_set(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1)
    any_bench.client.raw.delete(any_bench.keys.task("a"))
    assert any_bench.run(any_bench.protocol.reclaim()) == 1
    changes = any_bench.changes()
    assert changes == {"running a": None, "stats reclaim": 1}


def test_one_broken_hash_does_not_stop_the_others(bench: Bench) -> None:
    bench.put("a", "running", at_ms=-HOUR_MS)
    bench.put("b", "running", at_ms=-1)
    bench.client.raw.set(bench.keys.task("a"), "a foreign hand")
    bench.client.run(bench.protocol.reclaim())
    assert bench.fields("b")["state"] == "queued"


def test_r3_after_a_reclaim_the_old_attempt_owns_nothing(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, attempt=1)
    any_bench.client.run(any_bench.protocol.reclaim())
    assert any_bench.run(any_bench.protocol.fail("w", failure("a", attempt=1))) == 0
    assert any_bench.changes() == {}


@pytest.mark.parametrize("priority", ["high", "low"])
def test_a_reclaimed_task_keeps_its_priority(bench: Bench, priority: str) -> None:
    bench.put("a", "running", at_ms=-1, priority=priority)
    bench.run(bench.protocol.reclaim())
    assert bench.changes()[f"ready:{priority}"] == ["a"]
