"""Schedules: each tick once, time zones, missed ticks, and what cannot be."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from miniqueue.cron import Schedule, due_calls, next_time, schedule, schedules, unschedule
from miniqueue.errors import ConfigError, PayloadError, UnknownFunction
from miniqueue.flow import step
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker

HOUR_MS = 3_600_000
YEARLY = "0 0 1 1 *"  # a time that does not come while a test runs
Add = TaskFunction[[int, int], int]


@pytest.fixture
def add(registry: Registry) -> Add:
    @task(registry=registry, priority="high", max_attempts=7)
    def add(x: int, y: int) -> int:
        return x + y

    return add


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def age(queue: Queue, name: str, by_ms: int) -> None:
    """Move the data, not the clock: the next time lies back by so much."""
    key = queue.protocol.keys.cron
    told = json.loads(queue.client.raw.hget(key, name))
    now = int(queue.client.raw.time()[0]) * 1000
    queue.client.raw.hset(key, name, json.dumps({**told, "next_ms": now - by_ms}))


def test_a_due_schedule_sends_its_task_with_its_options(
    queue: Queue, registry: Registry, add: Add
) -> None:
    made = schedule(queue, "sums", YEARLY, step(add, 2, 3))
    assert made.next_ms % (5 * 60_000) == 0
    worker = Worker(queue, registry, name="w")
    worker.beat()
    assert Inspector(queue).tasks().tasks == []
    age(queue, "sums", 1000)
    (due,) = schedules(queue)
    worker.beat()
    (sent,) = Inspector(queue).tasks().tasks
    assert (sent.args, sent.priority, sent.max_attempts) == ([2, 3], "high", 7)
    assert sent.due_ms == due.next_ms  # which tick it stands for
    worker.run_once()
    assert queue.get(sent.id).result == 5
    assert schedules(queue)[0].next_ms > int(queue.client.raw.time()[0]) * 1000
    assert Inspector(queue).check() == []


def test_many_schedulers_send_each_tick_once(queue: Queue, registry: Registry, add: Add) -> None:
    schedule(queue, "sums", YEARLY, step(add, 2, 3))
    age(queue, "sums", 1000)
    workers = [Worker(queue, registry, name=f"w{i}") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda worker: worker.beat(), workers))
    assert len(Inspector(queue).tasks().tasks) == 1


def test_a_scheduler_that_read_an_old_text_sends_nothing(queue: Queue, add: Add) -> None:
    schedule(queue, "sums", YEARLY, step(add, 2, 3))
    age(queue, "sums", 1000)
    now = int(queue.client.raw.time()[0]) * 1000
    calls = due_calls(queue.protocol, schedules(queue), now, 100)
    assert queue.client.run_many([*calls, *calls]) == [1, 0]


@pytest.mark.parametrize(("missed", "sent"), [("once", 1), ("skip", 0)])
def test_ticks_missed_for_hours_are_sent_once_or_not_at_all(
    queue: Queue, registry: Registry, add: Add, missed: str, sent: int
) -> None:
    schedule(queue, "sums", YEARLY, step(add, 2, 3), missed=missed)  # type: ignore[arg-type]
    age(queue, "sums", 5 * HOUR_MS)
    worker = Worker(queue, registry, name="w")
    worker.beat()
    worker.beat()
    assert len(Inspector(queue).tasks().tasks) == sent
    assert schedules(queue)[0].next_ms > int(queue.client.raw.time()[0]) * 1000


@pytest.mark.parametrize(
    ("expression", "zone", "now", "then"),
    [
        ("0 7 * * *", "UTC", "2026-01-01T06:00", "2026-01-01T07:00"),
        ("0 7 * * *", "Europe/Berlin", "2026-01-01T00:00", "2026-01-01T06:00"),
        ("0 7 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T05:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
    ],
)
def test_time_zones(expression: str, zone: str, now: str, then: str) -> None:
    assert next_time(expression, zone, ms(now)) == ms(then)


def test_a_schedule_is_replaced_and_removed(queue: Queue, add: Add) -> None:
    schedule(queue, "sums", "0 0 * * *", step(add, 2, 3))
    schedule(queue, "sums", "0 1 * * *", step(add, 4, 5))
    (found,) = schedules(queue)
    assert (found.expression, found.task["args"]) == ("0 1 * * *", "[4,5]")
    assert unschedule(queue, "sums")
    assert not unschedule(queue, "sums")
    assert schedules(queue) == []


@pytest.mark.parametrize("expression", ["", "x", "61 * * * *", "* * * *", "0 0 31 2 *"])
def test_an_expression_that_cannot_be_is_refused(queue: Queue, add: Add, expression: str) -> None:
    with pytest.raises(ConfigError, match="not a cron expression"):
        schedule(queue, "sums", expression, step(add, 2, 3))


def test_what_cannot_be_is_said(queue: Queue, add: Add) -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        schedule(queue, "sums", "* * * * *", step(add, 1, 2), timezone="Mars/Base")
    with pytest.raises(ConfigError, match="once, skip"):
        schedule(queue, "sums", "* * * * *", step(add, 1, 2), missed="all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no after"):
        schedule(queue, "sums", "* * * * *", step(add.options(delay_s=1), 1, 2))
    with pytest.raises(PayloadError, match="wrong arguments"):
        schedule(queue, "sums", "* * * * *", step(add, 1))
    with pytest.raises(UnknownFunction):
        schedule(queue, "sums", "* * * * *", step("nope"))
    with pytest.raises(ConfigError, match="1 to 64"):
        schedule(queue, "a b", "* * * * *", step(add, 1, 2))


def test_a_schedule_that_a_foreign_hand_broke_stops_nobody(
    queue: Queue, registry: Registry, add: Add
) -> None:
    queue.client.raw.hset(queue.protocol.keys.cron, mapping={"bad": "{", "worse": '{"x":1}'})
    schedule(queue, "sums", YEARLY, step(add, 2, 3))
    age(queue, "sums", 1000)
    Worker(queue, registry, name="w").beat()
    assert len(Inspector(queue).tasks().tasks) == 1
    assert [type(s) for s in schedules(queue)] == [Schedule]


@pytest.mark.parametrize("broken", [{"expression": "x"}, {"timezone": "Mars"}, {"next_ms": "soon"}])
def test_a_schedule_without_a_next_time_does_not_stop_the_worker(
    queue: Queue, registry: Registry, add: Add, broken: dict[str, str]
) -> None:
    for name in ("bad", "good"):
        schedule(queue, name, YEARLY, step(add, 2, 3))
        age(queue, name, 1000)
    key = queue.protocol.keys.cron
    told = json.loads(queue.client.raw.hget(key, "bad"))
    queue.client.raw.hset(key, "bad", json.dumps({**told, **broken}))
    Worker(queue, registry, name="w").beat()
    assert [task.args for task in Inspector(queue).tasks().tasks] == [[2, 3]]


def test_a_worker_without_cronsim_goes_on(
    queue: Queue, registry: Registry, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(queue, "sums", YEARLY, step(add, 2, 3))
    age(queue, "sums", 1000)
    monkeypatch.setitem(sys.modules, "cronsim", None)
    Worker(queue, registry, name="w").beat()
    assert Inspector(queue).tasks().tasks == []
