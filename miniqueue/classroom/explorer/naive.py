"""Naive: the first sketch of a task queue, which loses a task when its worker dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miniqueue.classroom.explorer.scenario import Scenario, of_worker

__all__ = ["naive", "naive_worker"]


def naive_worker(redis: Any, run: Callable[[str], str]) -> None:
    """Pop an id, run it, write the state: between the pop and the end nobody else knows of it."""
    while (task := redis.lpop("queue")) is not None:
        run(task)
        redis.hset("state", task, "succeeded")


def naive(workers: int = 2, tasks: int = 1) -> Scenario:
    """The scenario of naive_worker; the tasks are called a, b, c, ..."""
    names = [chr(ord("a") + n) for n in range(tasks)]
    return of_worker(naive_worker, name="naive", workers=workers, tasks=names)
