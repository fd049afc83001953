"""The guarantee dial: ack="after" runs at least once, ack="before" at most once."""

from __future__ import annotations

import threading
import time

import pytest

from miniqueue.classroom.plants import Plant, Planted
from miniqueue.errors import ConfigError, TaskFailed
from miniqueue.protocol.calls import Call
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, task
from miniqueue.worker import Worker
from tests.processes import wait_for
from tests.worker.running import Recorder, Refuser, running, started, with_client, with_settings


@pytest.fixture
def starts(registry: Registry) -> list[int]:
    """What `charge` was called with, in order."""
    starts: list[int] = []

    @task(registry=registry, ack="before", backoff_s=0)
    def charge(number: int) -> int:
        starts.append(number)
        if number < 0:
            raise ValueError("refused")
        return number

    return starts


def test_a_task_is_acknowledged_before_it_runs(
    queue: Queue, registry: Registry, client: Client, starts: list[int]
) -> None:
    recorder = Recorder(client)
    handle = queue.enqueue("charge", 1)
    assert Worker(with_client(queue, recorder), registry).run_once() == 1
    assert handle.get().result == 1
    names = [name for trip in recorder.trips for name in trip]
    assert names.index("claim") < names.index("ack") < names.index("complete")


def test_other_tasks_cost_no_acknowledgement(
    queue: Queue, registry: Registry, client: Client
) -> None:
    @task(registry=registry)
    def plain() -> None: ...

    recorder = Recorder(client)
    queue.enqueue(plain)
    Worker(with_client(queue, recorder), registry).run_once()
    assert recorder.trips_with("ack") == []


def test_it_does_not_start_where_the_acknowledgement_is_not_kept(
    queue: Queue, registry: Registry, client: Client, starts: list[int]
) -> None:
    """The lease ran out between the claim and the start, and another worker has it."""

    def too_late(call: Call[bool]):  # type: ignore[no-untyped-def]
        client.raw.zadd(queue.protocol.keys.running, {handle.id: 1})
        yield queue.protocol.reclaim()
        return (yield call)

    plant = Plant("too-late", "ack", "the lease runs out first", too_late)
    handle = queue.enqueue("charge", 1)
    Worker(with_client(queue, Planted(client, plant)), registry).run_once()
    assert (starts, handle.state) == ([], "queued")
    Worker(queue, registry).run_once()
    assert (starts, handle.get().attempt) == ([1], 2)


def test_it_does_not_start_while_redis_is_away(
    queue: Queue, registry: Registry, client: Client, starts: list[int]
) -> None:
    refuser = Refuser(client)
    worker = Worker(with_client(queue, refuser), registry)
    handle = queue.enqueue("charge", 1)
    (claimed,) = queue.client.run(queue.protocol.claim(worker.id, 1)).tasks
    refuser.away.set()
    assert worker.lanes[0].runner.run([claimed], 0) == []
    assert (starts, handle.state) == ([], "running")  # its lease will run out


def test_an_exception_is_known_to_have_ended_and_is_tried_again(
    queue: Queue, registry: Registry, starts: list[int]
) -> None:
    handle = queue.enqueue("charge", -1)
    worker = Worker(queue, registry)
    wait_for(lambda: worker.run_once() >= 0 and handle.state == "failed")
    assert starts == [-1, -1, -1]


def test_a_stop_while_it_runs_ends_it(queue: Queue, registry: Registry) -> None:
    begun = threading.Event()

    @task(registry=registry, ack="before")
    def slow() -> None:
        begun.set()
        while True:
            time.sleep(0.01)

    queue = with_settings(queue, grace_s=0.0)
    handle = queue.enqueue(slow)
    with running(Worker(queue, registry), queue):
        assert begun.wait(5)
    with pytest.raises(TaskFailed, match="stopped while it ran") as raised:
        handle.wait(timeout_s=5)
    assert raised.value.error["type"] == "Stopped"
    assert handle.get().attempt == 1


def test_a_batch_is_acknowledged_in_one_round_trip(
    queue: Queue, registry: Registry, client: Client
) -> None:
    @task(registry=registry, ack="before", batch=8)
    def many(items: list[int]) -> list[int]:
        return items

    recorder = Recorder(client)
    handles = queue.enqueue_many(many, [(i,) for i in range(3)])
    worker = started(Worker(with_client(queue, recorder), registry), registry)
    worker.run_once()
    assert [handle.get().result for handle in handles] == [0, 1, 2]
    assert recorder.trips_with("ack") == [["ack"] * 3]


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="before, after"):

        @task(registry=Registry(), ack="never")
        def f() -> None: ...
