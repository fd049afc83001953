"""Queue.wait and TaskHandle: learning what became of a task, without polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from miniqueue.errors import TaskCancelled, TaskFailed, TaskNotFound
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker
from tests.processes import wait_for

Job = TaskFunction[[bool], str]


@pytest.fixture
def job(registry: Registry) -> Job:
    @task(registry=registry, max_attempts=1)
    def job(good: bool) -> str:
        if not good:
            raise ValueError("not good")
        return "good"

    return job


class Waiters:
    """Threads that wait for tasks, and what they learned."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.learned: list[Any] = []
        self._threads: list[threading.Thread] = []

    def wait(self, handle: TaskHandle, count: int = 1) -> None:
        """Start threads that wait, and return when they are all blocked."""
        before = self._blocked()
        for _ in range(count):
            thread = threading.Thread(target=self._wait, args=(handle,))
            thread.start()
            self._threads.append(thread)
        wait_for(lambda: self._blocked() == before + count)

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(8)
        return self.learned

    def _wait(self, handle: TaskHandle) -> None:
        try:
            self.learned.append(handle.wait(timeout_s=6))
        except Exception as error:
            self.learned.append(error)

    def _blocked(self) -> int:
        count: int = self.queue.client.raw.info("clients")["blocked_clients"]
        return count


@pytest.fixture
def waiters(queue: Queue) -> Iterator[Waiters]:
    waiters = Waiters(queue)
    yield waiters
    waiters.join()


def test_a_result_that_is_there_is_given_at_once(
    queue: Queue, registry: Registry, job: Job
) -> None:
    handle = queue.enqueue(job, True)
    Worker(queue, registry).run_once()
    assert handle.wait() == "good"
    assert handle.wait(timeout_s=0) == "good"


def test_a_waiter_is_woken_by_the_end(
    queue: Queue, registry: Registry, job: Job, waiters: Waiters
) -> None:
    handle = queue.enqueue(job, True)
    waiters.wait(handle)
    began = time.monotonic()
    Worker(queue, registry).run_once()
    assert waiters.join() == ["good"]
    assert time.monotonic() - began < 1


def test_two_waiters_are_woken_by_one_end(
    queue: Queue, registry: Registry, job: Job, waiters: Waiters
) -> None:
    handle = queue.enqueue(job, True)
    waiters.wait(handle, 2)
    began = time.monotonic()
    Worker(queue, registry).run_once()
    assert waiters.join() == ["good", "good"]
    assert time.monotonic() - began < 1


def test_two_waiters_learn_at_once_that_a_task_has_expired(
    queue: Queue, registry: Registry, job: Job, waiters: Waiters
) -> None:
    handle = queue.enqueue(job.options(expires_s=60), True)
    waiters.wait(handle, 2)
    queue.client.raw.hset(queue.protocol.keys.task(handle.id), "expires_ms", 1)
    began = time.monotonic()
    Worker(queue, registry).run_once()
    assert [type(error) for error in waiters.join()] == [TaskCancelled, TaskCancelled]
    assert time.monotonic() - began < 1


def test_a_failure_is_raised_with_its_error(queue: Queue, registry: Registry, job: Job) -> None:
    handle = queue.enqueue(job, False)
    Worker(queue, registry).run_once()
    with pytest.raises(TaskFailed, match="ValueError: not good") as raised:
        handle.wait(timeout_s=0)
    assert raised.value.task_id == handle.id
    assert raised.value.error["type"] == "ValueError"
    assert "Traceback" in raised.value.error["traceback"]


def test_a_cancellation_is_raised_with_its_reason(queue: Queue, job: Job) -> None:
    handle = queue.enqueue(job, True)
    assert handle.cancel() == "queued"
    with pytest.raises(TaskCancelled, match="cancelled by request") as raised:
        handle.wait(timeout_s=0)
    assert (raised.value.task_id, raised.value.reason) == (handle.id, "cancelled by request")


@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_a_timeout_says_where_the_task_is(queue: Queue, job: Job, timeout_s: float) -> None:
    handle = queue.enqueue(job, True)
    with pytest.raises(TimeoutError, match=f"{handle.id} is queued after {timeout_s} s"):
        handle.wait(timeout_s=timeout_s)


def test_nobody_waits_for_a_task_that_is_not_there(queue: Queue) -> None:
    with pytest.raises(TaskNotFound):
        queue.wait("00ff00ff00ff00ff", timeout_s=5)


ENDS: list[Callable[[Queue, TaskHandle], object]] = [
    lambda queue, handle: Worker(queue, queue.registry).run_once(),
    lambda queue, handle: handle.cancel(),
]


@pytest.mark.parametrize("end", ENDS, ids=["completed", "cancelled"])
def test_waiting_leaves_nothing_behind_for_ever(
    queue: Queue, job: Job, end: Callable[[Queue, TaskHandle], object]
) -> None:
    handle = queue.enqueue(job, True)
    with pytest.raises(TimeoutError):
        handle.wait(timeout_s=0.01)
    end(queue, handle)
    raw = queue.client.raw
    assert all(raw.ttl(key) > 0 for key in raw.keys("mq:{default}:done:*"))


def test_a_token_of_an_earlier_life_is_not_taken_for_the_end(
    queue: Queue, registry: Registry, job: Job
) -> None:
    """A waiter that gave up leaves a token; after a retry by hand the next waiter finds it."""
    handle = queue.enqueue(job, False)
    with pytest.raises(TimeoutError):
        handle.wait(timeout_s=0.01)
    Worker(queue, registry).run_once()
    queue.retry(handle.id)
    with pytest.raises(TimeoutError):
        handle.wait(timeout_s=0.2)
    assert handle.state == "queued"
