"""Tasks that wait for tasks: after, chain, group, chord; on real scripts, worker turn by turn."""

from __future__ import annotations

import pytest

from miniqueue.errors import (
    ConfigError,
    Fail,
    InvalidTransition,
    PayloadError,
    TaskFailed,
    UnknownFunction,
)
from miniqueue.flow import chain, chord, group, step
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker

Sum = TaskFunction[[list[float]], float]


@pytest.fixture
def worker(queue: Queue, registry: Registry) -> Worker:
    return Worker(queue, registry, name="w")


@pytest.fixture
def add(registry: Registry) -> TaskFunction[[float, float], float]:
    @task(registry=registry)
    def add(x: float, y: float) -> float:
        return x + y

    return add


@pytest.fixture
def double(registry: Registry) -> TaskFunction[[float], float]:
    @task(registry=registry)
    def double(x: float) -> float:
        return 2 * x

    return double


@pytest.fixture
def total(registry: Registry) -> Sum:
    @task(registry=registry)
    def total(numbers: list[float]) -> float:
        return sum(numbers)

    return total


@pytest.fixture
def broken(registry: Registry) -> TaskFunction[..., None]:
    @task(registry=registry)
    def broken(*args: object) -> None:
        raise Fail("on purpose")

    return broken


def work(worker: Worker, turns: int = 10) -> None:
    for _ in range(turns):
        worker.run_once()


def states(queue: Queue, *handles: TaskHandle) -> list[str]:
    return [str(handle.state) for handle in handles]


def healthy(queue: Queue) -> bool:
    return Inspector(queue).check() == []


def test_a_task_waits_until_those_before_it_have_succeeded(
    queue: Queue, worker: Worker, add: TaskFunction[[float, float], float]
) -> None:
    first, second = queue.enqueue(add, 1, 2), queue.enqueue(add, 3, 4)
    last = queue.enqueue(add.options(after=(first.id, second.id)), 5, 6)
    assert last.state == "deferred"
    assert last.get().after == [first.id, second.id]
    worker.lanes[0].turn(wait_s=0)
    worker.lanes[0].relieve()
    assert states(queue, first, second, last) == ["succeeded", "queued", "deferred"]
    assert healthy(queue)
    work(worker)
    assert last.wait(1) == 11
    assert healthy(queue)


def test_a_chain_hands_results_on(
    queue: Queue,
    worker: Worker,
    add: TaskFunction[[float, float], float],
    double: TaskFunction[[float], float],
) -> None:
    last = chain(queue, step(add, 1, 2), step(double), step(add, 10), step(double))
    work(worker)
    assert last.wait(1) == 2 * (2 * (1 + 2) + 10)


def test_a_chord_gathers_results_in_order(
    queue: Queue, worker: Worker, add: TaskFunction[[float, float], float], registry: Registry
) -> None:
    @task(registry=registry)
    def listed(numbers: list[float]) -> list[float]:
        return numbers

    last = chord(queue, [step(add, n, n) for n in range(20)], step(listed))
    work(worker, 40)
    assert last.wait(1) == [2 * n for n in range(20)]
    assert healthy(queue)


def test_a_group_runs_side_by_side(
    queue: Queue, worker: Worker, double: TaskFunction[[float], float]
) -> None:
    handles = group(queue, [step(double, n) for n in range(5)])
    work(worker)
    assert [handle.wait(1) for handle in handles] == [0, 2, 4, 6, 8]


def test_a_failed_task_fails_all_that_wait_for_it_with_the_reason(
    queue: Queue,
    worker: Worker,
    broken: TaskFunction[..., None],
    double: TaskFunction[[float], float],
) -> None:
    parent = queue.enqueue(broken)
    child = queue.enqueue(double.options(after=(parent.id,)), 1)
    grandchild = queue.enqueue(double.options(after=(child.id,)), 1)
    work(worker)
    assert states(queue, parent, child, grandchild) == ["failed"] * 3
    assert (child.get().error or {})["message"] == f"task {parent.id}, which it waits for, failed"
    assert (grandchild.get().error or {})["message"].startswith(f"task {child.id},")
    with pytest.raises(TaskFailed, match="ParentFailed"):
        grandchild.wait(1)
    assert healthy(queue)


def test_a_cancelled_task_fails_all_that_wait_for_it(
    queue: Queue, worker: Worker, double: TaskFunction[[float], float]
) -> None:
    parent = queue.enqueue(double, 1)
    child = queue.enqueue(double.options(after=(parent.id,)), 1)
    parent.cancel()
    work(worker, 1)
    assert child.state == "failed"
    assert "was cancelled" in (child.get().error or {})["message"]


def test_a_task_that_waits_can_be_cancelled(
    queue: Queue, worker: Worker, double: TaskFunction[[float], float]
) -> None:
    parent = queue.enqueue(double, 1)
    child = queue.enqueue(double.options(after=(parent.id,)), 1)
    assert child.cancel() == "deferred"
    work(worker)
    assert states(queue, parent, child) == ["succeeded", "cancelled"]
    assert healthy(queue)


@pytest.mark.parametrize("good", [True, False])
def test_a_parent_that_has_ended_before_counts(
    queue: Queue,
    worker: Worker,
    good: bool,
    double: TaskFunction[[float], float],
    broken: TaskFunction[..., None],
) -> None:
    parent = queue.enqueue(double, 4) if good else queue.enqueue(broken)
    work(worker, 1)
    child = queue.enqueue(double.options(after=(parent.id,), takes="result"))
    work(worker)
    assert child.state == ("succeeded" if good else "failed")
    if good:
        assert child.wait(1) == 16


def test_r1_a_worker_that_dies_after_the_parent_ended_loses_no_child(
    queue: Queue, worker: Worker, double: TaskFunction[[float], float]
) -> None:
    """The end of the parent and the note that its children are to be told are one script."""
    parent = queue.enqueue(double, 1)
    child = queue.enqueue(double.options(after=(parent.id,)), 1)
    lane = worker.lanes[0]
    lane.turn(wait_s=0)
    queue.client.run_many(lane._reports(list(lane.results)))  # and here it dies
    assert states(queue, parent, child) == ["succeeded", "deferred"]
    Worker(queue, worker._shared.registry, name="w2").run_once()
    assert child.state in ("queued", "succeeded")


def test_a_poisoned_parent_fails_its_children(
    queue: Queue, worker: Worker, double: TaskFunction[[float], float]
) -> None:
    parent = queue.enqueue(double.options(max_attempts=1), 1)
    child = queue.enqueue(double.options(after=(parent.id,)), 1)
    queue.client.run(queue.protocol.claim("dead", 1))
    queue.client.raw.zadd(queue.protocol.keys.running, {parent.id: 1})
    work(worker, 2)
    assert states(queue, parent, child) == ["failed", "failed"]


def test_a_flow_is_accepted_as_a_whole_or_not_at_all(
    queue: Queue, add: TaskFunction[[float, float], float]
) -> None:
    with pytest.raises(PayloadError, match="wrong arguments for 'add'"):
        chain(queue, step(add, 1, 2), step(add))
    with pytest.raises(UnknownFunction):
        chord(queue, [step(add, 1, 2)], step("nothing_like_it"))
    assert Inspector(queue).tasks().tasks == []


def test_what_cannot_be_is_said(
    queue: Queue, add: TaskFunction[[float, float], float], total: Sum
) -> None:
    with pytest.raises(PayloadError, match="no task has the id '00'"):
        queue.enqueue(add.options(after=("00",)), 1, 2)
    with pytest.raises(ConfigError, match="own queue"):
        queue.enqueue(add.options(after=("mail.00",)), 1, 2)
    with pytest.raises(ConfigError, match="no delay_s"):
        add.options(after=("00",), delay_s=1)
    with pytest.raises(ConfigError, match="needs one task"):
        add.options(after=("00", "01"), takes="result")
    with pytest.raises(ConfigError, match="at least one step"):
        chain(queue)
    with pytest.raises(ConfigError, match="stays in one queue"):
        chain(queue, step(add.options(queue="mail"), 1, 2))


def test_nothing_is_left_of_a_flow_but_its_tasks(
    queue: Queue, worker: Worker, add: TaskFunction[[float, float], float], total: Sum
) -> None:
    chord(queue, [step(add, n, n) for n in range(5)], step(total))
    work(worker, 20)
    keys = set(queue.client.raw.keys(f"{queue.protocol.keys.prefix}*"))
    assert not [key for key in keys if "children" in key or key.endswith((":ended", ":deferred"))]


def test_a_task_without_the_results_that_it_waited_for_cannot_be_retried(
    queue: Queue,
    worker: Worker,
    broken: TaskFunction[..., None],
    double: TaskFunction[[float], float],
) -> None:
    parent = queue.enqueue(broken)
    child = queue.enqueue(double.options(after=(parent.id,), takes="result"))
    work(worker)
    with pytest.raises(InvalidTransition, match="send the flow again"):
        queue.retry(child.id)
    assert child.state == "failed"


def test_a_parent_that_is_retried_before_its_children_are_told_decides_anew(
    queue: Queue, registry: Registry
) -> None:
    """Else whether they fail would depend on who is faster: the retry or the next advance."""
    fails = [True]

    @task(registry=registry, max_attempts=1)
    def parent() -> int:
        if fails:
            raise RuntimeError(fails.pop())
        return 7

    @task(registry=registry)
    def child(value: int) -> int:
        return value + 1

    worker = Worker(queue, registry)
    first = queue.enqueue(parent)
    second = queue.enqueue(child.options(after=(first.id,), takes="result"))
    lane = worker.lanes[0]
    lane.turn(wait_s=0)
    lane.relieve()  # it has failed; nobody has told the child
    queue.retry(first.id)
    queue.client.run(queue.protocol.advance())
    assert second.state == "deferred"
    for _ in range(3):
        worker.run_once()
    assert second.wait(timeout_s=5) == 8
