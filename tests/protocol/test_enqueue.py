"""enqueue: all of a batch or none of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miniqueue.errors import QueueFull, TaskExists
from tests.protocol.bench import Bench, sent, snapshot


def test_one_task_is_stored_listed_counted_told_and_hinted(any_bench: Bench) -> None:
    assert any_bench.run(any_bench.protocol.enqueue([sent("a", args="[1]")])) == ["a"]
    assert any_bench.changes() == {
        "ready:normal": ["a"],
        "task a state": "queued",
        "task a name": "echo",
        "task a args": "[1]",
        "task a max_attempts": "3",
        "task a enqueued_ms": any_bench.in_ms(0),
        "stats enqueue": 1,
        "wake": 1,
        "events": [{"verb": "enqueue", "tasks": "a/0"}],
    }


def test_what_is_not_the_default_is_stored(bench: Bench) -> None:
    task = sent("a", kwargs='{"x":1}', priority="high", timeout_s=2.5, expiry_ms=9000)
    bench.run(bench.protocol.enqueue([task]))
    changes = bench.changes()
    assert changes["task a kwargs"] == '{"x":1}'
    assert changes["task a priority"] == "high"
    assert changes["task a timeout_s"] == "2.5"
    assert changes["task a expires_ms"] == bench.in_ms(9000)


def test_each_priority_has_its_list_and_a_list_keeps_the_order(any_bench: Bench) -> None:
    tasks = [sent("n1"), sent("h", priority="high"), sent("l", priority="low"), sent("n2")]
    any_bench.run(any_bench.protocol.enqueue(tasks))
    changes = any_bench.changes()
    assert changes["ready:high"] == ["h"]
    assert changes["ready:normal"] == ["n1", "n2"]
    assert changes["ready:low"] == ["l"]
    assert changes["events"] == [{"verb": "enqueue", "tasks": "n1/0 h/0 l/0 n2/0"}]


def test_a_delayed_task_is_scheduled_and_wakes_nobody(any_bench: Bench) -> None:
    any_bench.run(any_bench.protocol.enqueue([sent("a", delay_ms=60_000)]))
    assert any_bench.changes() == {
        "scheduled a": any_bench.in_ms(60_000),
        "task a state": "scheduled",
        "task a due_ms": any_bench.in_ms(60_000),
        "task a more": "1",
        "task a name": "echo",
        "task a args": "[]",
        "task a max_attempts": "3",
        "task a enqueued_ms": any_bench.in_ms(0),
        "stats enqueue": 1,
        "events": [{"verb": "enqueue", "tasks": "a/0"}],
    }


def test_a_known_id_refuses_the_whole_batch(any_bench: Bench) -> None:
    any_bench.put("b")
    with pytest.raises(TaskExists) as raised:
        any_bench.run(any_bench.protocol.enqueue([sent("a"), sent("b"), sent("c")]))
    assert (raised.value.task_id, raised.value.key) == ("b", None)
    assert any_bench.changes() == {}


def test_one_id_twice_in_a_batch_refuses_it(bench: Bench) -> None:
    with pytest.raises(TaskExists):
        bench.run(bench.protocol.enqueue([sent("a"), sent("a")]))
    assert bench.changes() == {}


def test_a_full_queue_refuses_the_whole_batch(bench: Bench) -> None:
    settings = replace(bench.settings, max_queued=4)
    small = Bench(bench.client, settings)  # one scheduled bystander
    small.put_all(["a", "b"])
    with pytest.raises(QueueFull) as raised:
        small.run(small.protocol.enqueue([sent("c"), sent("d")]))
    assert (raised.value.waiting, raised.value.limit) == (3, 4)
    assert small.changes() == {}
    assert small.run(small.protocol.enqueue([sent("c")])) == ["c"]


def test_r7_the_number_of_waiting_tasks_is_bounded_in_all_lists_and_scheduled(bench: Bench) -> None:
    small = Bench(bench.client, replace(bench.settings, max_queued=4))
    for priority in ("high", "normal", "low"):
        small.put(priority, priority=priority)
    with pytest.raises(QueueFull):
        small.run(small.protocol.enqueue([sent("x", delay_ms=1000)]))


@pytest.mark.parametrize(
    "waiting",
    [
        {"priority": "high"},
        {"priority": "normal"},
        {"priority": "low"},
        {"delay_ms": 60_000},
        {"after": ("by-running",)},
    ],
)
def test_r7_each_place_where_tasks_wait_is_counted(bench: Bench, waiting: dict[str, Any]) -> None:
    small = Bench(bench.client, replace(bench.settings, max_queued=1))
    small.client.raw.delete(small.keys.scheduled)
    small.run(small.protocol.enqueue([sent("a", **waiting)]))
    with pytest.raises(QueueFull) as raised:
        small.run(small.protocol.enqueue([sent("b")]))
    assert raised.value.waiting == 1


# -- idempotency keys ------------------------------------------------------------------------------


def test_an_idempotency_key_is_kept_with_a_ttl(bench: Bench) -> None:
    bench.run(bench.protocol.enqueue([sent("a", unique="k", digest="d" * 16)]))
    changes = bench.changes()
    assert changes["unique k"] == "d" * 16 + " a"
    assert changes["ttl unique k"] == pytest.approx(bench.settings.keep_s * 1000, abs=1500)


def test_the_same_key_and_body_give_the_older_id_and_write_nothing(any_bench: Bench) -> None:
    same = {"unique": "k", "digest": "d" * 16}
    any_bench.run(any_bench.protocol.enqueue([sent("a", **same)]))
    assert any_bench.run(any_bench.protocol.enqueue([sent("b", **same)])) == ["a"]
    assert any_bench.changes() == {}


def test_a_duplicate_among_new_ones_stands_in_its_place(bench: Bench) -> None:
    same = {"unique": "k", "digest": "d" * 16}
    bench.run(bench.protocol.enqueue([sent("a", **same)]))
    batch = [sent("b"), sent("c", **same), sent("d")]
    assert bench.run(bench.protocol.enqueue(batch)) == ["b", "a", "d"]
    assert bench.changes()["ready:normal"] == ["a", "b", "d"]


def test_the_same_key_with_another_body_refuses_the_batch(any_bench: Bench) -> None:
    any_bench.run(any_bench.protocol.enqueue([sent("a", unique="k", digest="d" * 16)]))
    with pytest.raises(TaskExists) as raised:
        any_bench.run(
            any_bench.protocol.enqueue([sent("b"), sent("c", unique="k", digest="e" * 16)])
        )
    assert (raised.value.task_id, raised.value.key) == ("a", "k")
    assert any_bench.changes() == {}


def test_a_key_twice_in_one_batch_is_one_task(bench: Bench) -> None:
    same = {"unique": "k", "digest": "d" * 16}
    batch = [sent("a", **same), sent("b", **same)]
    assert bench.run(bench.protocol.enqueue(batch)) == ["a", "a"]
    assert bench.changes()["ready:normal"] == ["a"]


def test_a_key_twice_in_one_batch_with_two_bodies_refuses_it(bench: Bench) -> None:
    batch = [
        sent("a", unique="k", digest="d" * 16),
        sent("b", unique="k", digest="e" * 16),
    ]
    with pytest.raises(TaskExists):
        bench.run(bench.protocol.enqueue(batch))
    assert bench.changes() == {}


def test_a_duplicate_is_given_even_where_the_queue_is_full(bench: Bench) -> None:
    small = Bench(bench.client, replace(bench.settings, max_queued=2))
    same = {"unique": "k", "digest": "d" * 16}
    small.run(small.protocol.enqueue([sent("a", **same)]))
    assert small.run(small.protocol.enqueue([sent("b", **same)])) == ["a"]


# -- hints and events ------------------------------------------------------------------------------


def test_r6_wake_hints_are_capped(bench: Bench) -> None:
    for at in range(3):
        bench.run(bench.protocol.enqueue([sent(f"{at}-{i}") for i in range(50)]))
    assert snapshot(bench.client, bench.queue)["wake"] == 64
    bench.sound()


def test_an_event_names_a_hundred_tasks_at_most(bench: Bench) -> None:
    bench.run(bench.protocol.enqueue([sent(f"t{i}") for i in range(250)]))
    events = bench.changes()["events"]
    assert [len(event["tasks"].split()) for event in events] == [100, 100, 50]
    named = " ".join(event["tasks"] for event in events).split()
    assert named == [f"t{i}/0" for i in range(250)]
