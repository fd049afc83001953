"""claim: hand tasks to a worker, each with an attempt and a lease, in one step."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Claimed
from miniqueue.redis_client import connect
from miniqueue.task import Priority
from tests.protocol.bench import Bench, snapshot

LEASE_MS = 5000


def ids(tasks: list[Claimed]) -> list[str]:
    return [task.id for task in tasks]


def test_r1_a_claim_is_one_step_from_the_list_to_the_lease(any_bench: Bench) -> None:
    any_bench.put("a", args="[1]", kwargs='{"k":2}', max_attempts=7, timeout_s=1.5)
    reply = any_bench.run(any_bench.protocol.claim("w1", 1))
    (task,) = reply.tasks
    assert task.since_ms == any_bench.in_ms(0)
    assert task == Claimed("a", 1, "echo", "[1]", '{"k":2}', 7, 0, 1.5, since_ms=task.since_ms)
    assert reply.now_ms == any_bench.in_ms(0)
    assert any_bench.changes() == {
        "ready:normal": [],
        "running a": any_bench.in_ms(LEASE_MS),
        "task a state": "running",
        "task a attempt": "1",
        "task a worker": "w1",
        "stats claim": 1,
        "events": [{"verb": "claim", "tasks": "a/1", "worker": "w1"}],
    }


def test_r1_a_reader_never_sees_a_task_in_no_structure(bench: Bench) -> None:
    total = 300
    bench.put_all([f"t{i}" for i in range(total)])
    done = threading.Event()

    def claim_all() -> None:
        client = connect(bench.settings)
        while client.run(bench.protocol.claim("w", 1)).tasks:
            pass
        client.close()
        done.set()

    thread = threading.Thread(target=claim_all)
    thread.start()
    seen, keys = set(), bench.keys
    while not done.is_set():
        pipe = bench.client.raw.pipeline(transaction=True)
        pipe.llen(keys.ready[1])
        pipe.zcard(keys.running)
        seen.add(sum(pipe.execute()))
    thread.join()
    assert seen <= {total + 1}


def test_r1_claim_counts_the_attempt(any_bench: Bench) -> None:
    any_bench.put("a", attempt=4, released=2)
    (task,) = any_bench.run(any_bench.protocol.claim("w", 1)).tasks
    assert (task.attempt, task.released) == (5, 2)
    assert any_bench.fields("a")["attempt"] == "5"


def test_r2_a_claimed_task_is_in_the_running_set_and_nowhere_else(any_bench: Bench) -> None:
    any_bench.put("a")
    any_bench.run(any_bench.protocol.claim("w", 1))
    places = {path for path in snapshot(any_bench.client, any_bench.queue) if path.endswith(" a")}
    assert places == {"running a"}
    any_bench.sound()


def test_a_task_waits_since_it_is_due_or_was_sent(any_bench: Bench) -> None:
    any_bench.put("sent", enqueued_ms=1000)
    any_bench.put("due", enqueued_ms=1000, due_ms=5000, more=1)
    since = {t.id: t.since_ms for t in any_bench.run(any_bench.protocol.claim("w", 2)).tasks}
    assert since == {"sent": 1000, "due": 5000}


@pytest.mark.parametrize("broken", ["long ago", "nan", "inf", "-inf", "-5", "9" * 30, ""])
def test_a_time_that_a_foreign_hand_broke_counts_as_now(any_bench: Bench, broken: str) -> None:
    any_bench.put("a", enqueued_ms=broken)
    (task,) = any_bench.client.run(any_bench.protocol.claim("w", 1)).tasks
    assert task.since_ms == any_bench.in_ms(0)


def test_high_goes_before_normal_before_low(any_bench: Bench) -> None:
    for priority in ("low", "normal", "high"):
        any_bench.put_all([priority + "1", priority + "2"], priority=priority)
    reply = any_bench.run(any_bench.protocol.claim("w", 10))
    assert ids(reply.tasks) == ["high1", "high2", "normal1", "normal2", "low1", "low2"]
    any_bench.sound()


@pytest.mark.parametrize(
    ("first", "order"), [("low", ["low", "high"]), ("normal", ["normal", "high"])]
)
def test_another_priority_can_go_first(bench: Bench, first: Priority, order: list[str]) -> None:
    for priority in ("high", "normal", "low"):
        bench.put(priority, priority=priority)
    reply = bench.run(bench.protocol.claim("w", 2, first=first))
    assert [task.id for task in reply.tasks] == order


def test_r7_a_claim_takes_no_more_than_its_limit(any_bench: Bench) -> None:
    any_bench.put("h", priority="high")
    any_bench.put_all(["a", "b", "c"])
    assert ids(any_bench.run(any_bench.protocol.claim("w", 3)).tasks) == ["h", "a", "b"]
    changes = any_bench.changes()
    assert changes["ready:normal"] == ["c"]
    assert changes["events"] == [{"verb": "claim", "tasks": "h/1 a/1 b/1", "worker": "w"}]
    assert changes["stats claim"] == 3


def test_two_workers_share_a_list_and_no_task(bench: Bench) -> None:
    bench.put_all([f"t{i}" for i in range(40)])
    claimed: list[str] = []

    def work(worker: str) -> None:
        client = connect(bench.settings)
        while tasks := client.run(bench.protocol.claim(worker, 3)).tasks:
            claimed.extend(ids(tasks))
        client.close()

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(f"t{i}" for i in range(40))
    bench.sound()


def test_an_expired_task_ends_cancelled_and_is_not_handed_out(any_bench: Bench) -> None:
    any_bench.put("a", expires_ms=any_bench.now() - 1, waiting=1, more=1)
    assert any_bench.run(any_bench.protocol.claim("w", 1)).tasks == []
    keep_ms = any_bench.settings.keep_s * 1000
    changes = any_bench.changes()
    error = changes.pop("task a error")
    assert '"type":"Expired"' in error
    assert changes == {
        "ready:normal": [],
        "finished a": any_bench.in_ms(keep_ms),
        "task a state": "cancelled",
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": pytest.approx(keep_ms, abs=1500),
        "done a": ["cancelled"],
        "ttl done a": pytest.approx(10_000, abs=1500),
        "stats cancel": 1,
        "events": [{"verb": "cancel", "tasks": "a/0", "reason": "expired"}],
    }


def test_a_task_that_has_not_expired_yet_is_handed_out(bench: Bench) -> None:
    bench.put("a", expires_ms=bench.now() + 60_000, more=1)
    assert ids(bench.run(bench.protocol.claim("w", 1)).tasks) == ["a"]


@pytest.mark.parametrize("dead", ["expired", "vanished"])
def test_dead_ids_at_the_front_do_not_make_workers_wait(bench: Bench, dead: str) -> None:
    """A worker that meets one must not sleep while tasks wait behind it."""
    bench.put("a", expires_ms=bench.now() - 1, more=1)
    bench.put("b")
    bench.client.raw.rpush(bench.keys.wake, 1, 1)
    if dead == "vanished":
        bench.client.raw.delete(bench.keys.task("a"))
    reply = bench.run(bench.protocol.claim("w", 1))
    assert ids(reply.tasks) == ["b"] or reply.wait_ms <= 1
    assert bench.client.raw.llen(bench.keys.wake) > 0


def test_a_paused_queue_hands_out_nothing(any_bench: Bench) -> None:
    any_bench.put("a")
    any_bench.client.raw.set(any_bench.keys.paused, 1)
    any_bench.client.raw.rpush(any_bench.keys.wake, 1)
    reply = any_bench.run(any_bench.protocol.claim("w", 5))
    assert (reply.tasks, reply.wait_ms) == ([], 1000)
    assert any_bench.changes() == {}


def test_an_id_whose_hash_vanished_is_dropped_and_counted(any_bench: Bench) -> None:
    any_bench.put_all(["a", "b"])
    any_bench.client.raw.delete(any_bench.keys.task("a"))
    assert ids(any_bench.run(any_bench.protocol.claim("w", 2)).tasks) == ["b"]
    changes = any_bench.changes()
    assert changes["stats vanished"] == 1
    assert changes["ready:normal"] == []


def test_an_id_whose_hash_is_of_another_type_is_dropped(bench: Bench) -> None:
    bench.put_all(["a", "b"])
    bench.client.raw.set(bench.keys.task("a"), "a foreign hand")
    assert ids(bench.client.run(bench.protocol.claim("w", 2)).tasks) == ["b"]


@pytest.mark.parametrize("field", ["max_attempts", "released", "timeout_s"])
def test_a_field_that_a_foreign_hand_broke_does_not_break_the_claim(
    bench: Bench, field: str
) -> None:
    """Else one task would kill every worker that claims it."""
    bench.put("a")
    bench.client.raw.hset(bench.keys.task("a"), field, "many")
    assert ids(bench.run(bench.protocol.claim("w", 1)).tasks) == ["a"]


def test_an_idle_claim_clears_the_hints(any_bench: Bench) -> None:
    any_bench.client.raw.rpush(any_bench.keys.wake, 1, 1)
    reply = any_bench.run(any_bench.protocol.claim("w", 1))
    assert (reply.tasks, reply.wait_ms) == ([], 1000)
    assert any_bench.changes() == {"wake": 0}


@pytest.mark.parametrize("state", ["scheduled", "running"])
def test_an_idle_claim_says_when_the_next_task_is_due(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=600)
    assert 100 < any_bench.run(any_bench.protocol.claim("w", 1)).wait_ms <= 600


def test_an_overdue_task_is_worth_a_wait_of_a_millisecond(bench: Bench) -> None:
    bench.put("a", "scheduled", at_ms=-5000)
    assert bench.run(bench.protocol.claim("w", 1)).wait_ms == 1


def test_the_lease_is_the_setting(bench: Bench) -> None:
    bench.put("a")
    protocol = Protocol(replace(bench.settings, lease_s=60), bench.queue.name)
    bench.run(protocol.claim("w", 1))
    assert bench.changes()["running a"] == bench.in_ms(60_000)
