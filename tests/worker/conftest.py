"""A worker on the private server, and functions for it to run."""

from __future__ import annotations

import pytest

from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker


@pytest.fixture
def worker(queue: Queue, registry: Registry) -> Worker:
    return Worker(queue, registry, name="w1")


@pytest.fixture
def echo(registry: Registry) -> TaskFunction[[object], object]:
    """A task function that returns its argument."""

    @task(registry=registry)
    def echo(value: object) -> object:
        return value

    return echo
