"""Batch handlers: the function gets a list, and one bad item fails alone."""

from __future__ import annotations

import threading

import pytest

from miniqueue.context import Context
from miniqueue.errors import ConfigError
from miniqueue.inspector import Inspector
from miniqueue.options import Handling
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker

Calls = list[list[int]]


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def halve(registry: Registry, calls: Calls) -> TaskFunction[[int], list[object]]:
    @task(registry=registry, batch=4, max_attempts=1)
    def halve(numbers: list[int]) -> list[object]:
        calls.append(list(numbers))
        return [n / 2 if n % 2 == 0 else ValueError(f"{n} is odd") for n in numbers]

    return halve  # type: ignore[return-value]


@pytest.fixture
def worker(queue: Queue, registry: Registry) -> Worker:
    worker = Worker(queue, registry, name="w")
    for _ in range(60):  # it knows that this is quick work, so it claims many
        for name in ("halve", "strict", "lone"):
            worker._shared.pace.ran(name, 0.00001)
    return worker


def test_tasks_that_wait_run_in_one_call(
    queue: Queue, worker: Worker, halve: TaskFunction[[int], list[object]], calls: Calls
) -> None:
    handles = queue.enqueue_many(halve, [(n,) for n in range(0, 20, 2)])
    worker.run_once()
    assert [handle.wait(1) for handle in handles] == list(range(10))
    assert [len(call) for call in calls] == [4, 4, 2]
    assert Inspector(queue).check() == []


def test_a_bad_item_fails_alone(
    queue: Queue, worker: Worker, halve: TaskFunction[[int], list[object]]
) -> None:
    handles = queue.enqueue_many(halve, [(2,), (3,), (4,)])
    worker.run_once()
    assert [str(handle.state) for handle in handles] == ["succeeded", "failed", "succeeded"]
    assert (handles[1].get().error or {})["message"] == "3 is odd"


def test_a_function_that_raises_is_called_again_for_each_item(
    queue: Queue, worker: Worker, registry: Registry, calls: Calls
) -> None:
    @task(registry=registry, batch=8, max_attempts=1)
    def strict(numbers: list[int]) -> list[int]:
        calls.append(list(numbers))
        if 3 in numbers:
            raise ValueError("three")
        return numbers

    handles = queue.enqueue_many(strict, [(n,) for n in range(1, 5)])
    worker.run_once()
    assert calls == [[1, 2, 3, 4], [1], [2], [3], [4]]
    states = [str(handle.state) for handle in handles]
    assert states == ["succeeded", "succeeded", "failed", "succeeded"]


@pytest.mark.parametrize("answer", [None, [], [1, 2, 3]])
def test_a_function_that_returns_too_few_or_no_list_fails_with_the_reason(
    queue: Queue, worker: Worker, registry: Registry, answer: object
) -> None:
    @task(registry=registry, batch=8, max_attempts=1)
    def lone(numbers: list[int]) -> object:
        return answer

    handles = queue.enqueue_many(lone, [(1,), (2,)])
    worker.run_once()
    errors = [(handle.get().error or {})["message"] for handle in handles]
    assert all("must return a list of as many results" in error for error in errors)


def test_other_functions_run_between(
    queue: Queue,
    worker: Worker,
    registry: Registry,
    halve: TaskFunction[[int], list[object]],
    calls: Calls,
) -> None:
    @task(registry=registry)
    def lone(x: int) -> int:
        return x

    first = queue.enqueue(halve, 2)
    other = queue.enqueue(lone, 7)
    second = queue.enqueue(halve, 4)
    worker.run_once()
    assert [first.wait(1), other.wait(1), second.wait(1)] == [1, 7, 2]
    assert calls == [[2, 4]]


def test_it_lingers_for_more(queue: Queue, registry: Registry, calls: Calls) -> None:
    arrived = threading.Event()

    @task(registry=registry, batch=2, linger_ms=5000)
    def pair(numbers: list[int]) -> list[int]:
        calls.append(list(numbers))
        arrived.set()
        return numbers

    worker = Worker(queue, registry, name="w")
    handles = [queue.enqueue(pair, 1)]
    turn = threading.Thread(target=worker.run_once)
    turn.start()
    handles.append(queue.enqueue(pair, 2))
    assert arrived.wait(8)
    turn.join()
    assert [handle.wait(1) for handle in handles] == [1, 2]
    assert calls == [[1, 2]]


def test_a_batch_function_takes_one_parameter(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="must take one parameter"):

        @task(registry=registry, batch=2)
        def two(x: list[int], y: list[int]) -> None: ...

    with pytest.raises(ConfigError, match="must take one parameter"):

        @task(registry=registry, batch=2)
        def told(ctx: Context, x: list[int]) -> None: ...


@pytest.mark.parametrize("words", [{"batch": 0}, {"batch": 1001}, {"linger_ms": -1}])
def test_bounds(words: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="out of bounds"):
        Handling(**words)  # type: ignore[arg-type]
