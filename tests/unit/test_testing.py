"""The testing aids that users get."""

from __future__ import annotations

import sys

import pytest

from miniqueue.context import Context
from miniqueue.errors import ConfigError, TaskFailed
from miniqueue.flow import chain, step
from miniqueue.functions import add
from miniqueue.inspector import Inspector
from miniqueue.registry import Registry, task
from miniqueue.testing import EagerQueue, eager_queue


def test_the_fixture_runs_tasks_at_once(miniqueue_queue: EagerQueue) -> None:
    assert miniqueue_queue.enqueue(add, 2, 3).wait() == 5
    assert Inspector(miniqueue_queue).check() == []


def test_two_queues_know_nothing_of_each_other() -> None:
    first, second = eager_queue(), eager_queue()
    first.enqueue(add, 2, 3)
    assert Inspector(second).tasks().tasks == []


def test_delays_and_retries_wait_for_run_scheduled(registry: Registry) -> None:
    tries: list[int] = []

    @task(registry=registry, max_attempts=3)
    def shaky(ctx: Context) -> str:
        tries.append(ctx.attempt)
        if len(tries) < 3:
            raise ValueError("again")
        return "done"

    queue = eager_queue(registry)
    handle = queue.enqueue(shaky.options(delay_s=60))
    assert (handle.state, tries) == ("scheduled", [])
    assert queue.run_scheduled() == 1
    assert (handle.state, tries) == ("scheduled", [1])
    queue.run_scheduled()
    queue.run_scheduled()
    assert (handle.wait(), tries) == ("done", [1, 2, 3])


def test_a_task_that_sends_tasks(registry: Registry) -> None:
    queue = eager_queue(registry)
    order: list[str] = []

    @task(registry=registry)
    def child() -> None:
        order.append("child")

    @task(registry=registry)
    def parent() -> None:
        queue.enqueue(child)
        order.append("parent")

    queue.enqueue(parent)
    assert order == ["parent", "child"]


def test_flows_and_failures(registry: Registry) -> None:
    @task(registry=registry, max_attempts=1)
    def boom(x: int) -> None:
        raise ValueError("boom")

    registry.add(add)
    queue = eager_queue(registry)
    assert chain(queue, step(add, 1, 2), step(add, 10)).wait() == 13
    with pytest.raises(TaskFailed, match="ParentFailed"):
        chain(queue, step(boom, 1), step(add, 10)).wait()


def test_without_fakeredis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(ConfigError, match=r"miniqueue\[testing\]"):
        eager_queue()
