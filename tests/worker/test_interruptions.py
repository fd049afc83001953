"""Timeouts, cancellation, a lost lease and a stop, while a task runs in a worker's thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from miniqueue.errors import TaskCancelled, TaskFailed
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker
from tests.processes import wait_for
from tests.worker.running import await_state, running, with_settings

SHORT_LEASE = {"lease_s": 0.6}  # a beat each 0.2 s


def spin() -> None:
    """Python code without an end."""
    while True:
        time.sleep(0.001)


async def nap() -> None:
    await asyncio.sleep(60)


ENDLESS: list[Callable[[], Any]] = [spin, nap]
Endless = TaskFunction[[], Any]


@pytest.fixture(params=ENDLESS, ids=["sync", "async"])
def endless(request: pytest.FixtureRequest, registry: Registry) -> Endless:
    """A task function that does not end by itself."""
    made: Endless = task(registry=registry, name="endless", max_attempts=1)(request.param)
    return made


@pytest.fixture
def short(queue: Queue) -> Queue:
    """The queue with short leases."""
    return with_settings(queue, **SHORT_LEASE)


def test_a_task_that_runs_too_long_fails(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    handle = short.enqueue(endless.options(timeout_s=0.1))
    with running(Worker(short, registry), short), pytest.raises(TaskFailed) as raised:
        handle.wait(timeout_s=5)
    assert raised.value.error["type"] == "TaskTimeout"
    assert raised.value.error["message"] == "ran longer than its 0.1 s"


def test_a_timeout_is_tried_again_while_attempts_are_left(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    handle = short.enqueue(endless.options(timeout_s=0.05, max_attempts=2))
    with running(Worker(short, registry), short), pytest.raises(TaskFailed):
        handle.wait(timeout_s=5)
    assert handle.get().attempt == 2


def test_the_timeout_of_the_settings_holds_where_none_is_given(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    hasty = with_settings(short, timeout_s=0.1)
    handle = hasty.enqueue(endless)
    with running(Worker(hasty, registry), hasty), pytest.raises(TaskFailed, match="TaskTimeout"):
        handle.wait(timeout_s=5)


def test_a_running_task_can_be_cancelled(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    handle = short.enqueue(endless)
    with running(Worker(short, registry), short):
        await_state(handle, "running")
        assert handle.cancel() == "running"
        with pytest.raises(TaskCancelled):
            handle.wait(timeout_s=5)
    assert Inspector(short).check() == []


def test_the_worker_goes_on_after_an_interruption(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    @task(registry=registry)
    def fine() -> str:
        return "fine"

    with running(Worker(short, registry), short):
        for _ in range(3):
            with pytest.raises(TaskFailed):
                short.enqueue(endless.options(timeout_s=0.05)).wait(timeout_s=5)
            assert short.enqueue(fine).wait(timeout_s=5) == "fine"


def test_r3_a_worker_that_lost_its_lease_stops_and_its_result_is_dropped(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    handle = short.enqueue(endless)
    key = short.protocol.keys.task(handle.id)
    worker = Worker(short, registry)
    with running(worker, short):
        await_state(handle, "running")
        short.client.raw.hset(key, mapping={"attempt": 2, "worker": "another"})
        short.client.raw.zadd(short.protocol.keys.running, {handle.id: 9e15})  # and it renews
        wait_for(lambda: worker.lanes[0].runner.current is None)
    task = handle.get()
    assert (task.state, task.attempt, task.worker, task.error) == ("running", 2, "another", None)


def test_r3_a_late_result_is_dropped(queue: Queue, registry: Registry, worker: Worker) -> None:
    @task(registry=registry)
    def slow() -> str:
        """While it runs the lease runs out and another worker takes the task."""
        queue.client.raw.zadd(queue.protocol.keys.running, {handle.id: 1}, xx=True)
        queue.client.run(queue.protocol.reclaim())
        queue.client.run(queue.protocol.claim("another", 1))
        return "stale"

    handle = queue.enqueue(slow)
    worker.run_once()
    task_now = handle.get()
    assert (task_now.state, task_now.worker, task_now.result) == ("running", "another", None)
    assert Inspector(queue).check() == []


# -- leases ----------------------------------------------------------------------------------------


def test_a_task_may_run_longer_than_its_lease(short: Queue, registry: Registry) -> None:
    let_go = threading.Event()

    @task(registry=registry)
    def long() -> str:
        let_go.wait(8)
        return "whole"

    handle = short.enqueue(long)
    inspector = Inspector(short)
    with running(Worker(short, registry), short):
        await_state(handle, "running")
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 2 * 0.6)
        assert short.client.run(short.protocol.reclaim()) == 0
        let_go.set()
        assert handle.wait(timeout_s=5) == "whole"
    assert [event.verb for event in inspector.timeline(handle.id)] == [
        *("enqueue", "claim", "complete")
    ]


def test_work_that_waits_longer_than_a_lease_in_a_living_worker_is_not_lost(
    short: Queue, registry: Registry
) -> None:
    """Its leases are renewed; who forgets it counts a death that was none."""

    @task(registry=registry)
    def step() -> None:
        time.sleep(0.2)

    patient = with_settings(short, prefetch_ms=10_000)
    worker = Worker(patient, registry)
    for _ in range(40):
        worker.lanes[0].shared.pace.ran("step", 0.001)
    handles = patient.enqueue_many(step, [()] * 6)
    with running(worker, patient):
        for handle in handles:
            handle.wait(timeout_s=6)
    assert [handle.get().attempt for handle in handles] == [1] * 6


# -- stop ------------------------------------------------------------------------------------------


def test_r12_a_worker_that_stops_finishes_what_it_runs(queue: Queue, registry: Registry) -> None:
    begun, let_go = threading.Event(), threading.Event()

    @task(registry=registry)
    def job() -> str:
        begun.set()
        let_go.wait(8)
        return "finished"

    first, second = queue.enqueue(job), queue.enqueue(job)
    with running(Worker(queue, registry), queue) as worker:
        assert begun.wait(5)  # a task that is only claimed would be handed back
        assert first.state == "running"
        worker.stop()
        let_go.set()
        assert first.wait(timeout_s=5) == "finished"
    assert second.state == "queued"
    assert Inspector(queue).check() == []


def test_r12_what_does_not_end_in_the_grace_period_is_released(
    short: Queue, registry: Registry, endless: Endless
) -> None:
    impatient = with_settings(short, grace_s=0)
    handle = impatient.enqueue(endless)
    with running(Worker(impatient, registry), impatient) as worker:
        await_state(handle, "running")
        worker.stop()
        await_state(handle, "queued")
    task = handle.get()
    assert (task.attempt, task.released, task.tries) == (1, 1, 0)
    assert Inspector(short).check() == []


def test_r12_a_worker_that_stops_hands_back_what_it_has_not_started(
    queue: Queue, registry: Registry
) -> None:
    let_go, begun = threading.Event(), threading.Event()

    @task(registry=registry)
    def job() -> None:
        begun.set()
        let_go.wait(8)

    patient = with_settings(queue, prefetch_ms=10_000)
    worker = Worker(patient, registry)
    for _ in range(40):
        worker.lanes[0].shared.pace.ran("job", 0.001)
    handles = patient.enqueue_many(job, [()] * 4)
    with running(worker, patient):
        begun.wait(5)
        assert [handle.state for handle in handles] == ["running"] * 4
        worker.stop()
        let_go.set()
    assert [handle.state for handle in handles] == ["succeeded", "queued", "queued", "queued"]
    ready = patient.client.raw.lrange(patient.protocol.keys.ready[1], 0, -1)
    assert ready == [handle.id for handle in handles[1:]]
