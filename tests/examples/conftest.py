"""Workers of the examples, in this process and in real ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miniqueue.classroom.service import Service
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import default_registry
from miniqueue.worker import Worker
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
Hire = Callable[[str, str], Service]


@pytest.fixture
def worker(queue: Queue) -> Worker:
    """A worker in this process which knows the examples that a test has imported."""
    return Worker(queue, default_registry, name="w")


@pytest.fixture
def hire(queue: Queue, tmp_path: Path) -> Iterator[Hire]:
    """Start a worker process by name with a module; returns when its functions are known."""
    services: list[Service] = []
    environ = {**os.environ, **queue.settings.but(lease_s=1.0).environ()}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

    def start(name: str, module: str) -> Service:
        command = [sys.executable, "-m", "miniqueue.worker", "--name", name, "--import", module]
        log = tmp_path / f"{name}.log"
        services.append(Service(name, command, log=log, environ=environ))
        wait_for(lambda: name in {w.id for w in Inspector(queue).workers()})
        wait_for(lambda: queue.client.run(queue.protocol.roster.specs()))  # behind the first beat
        return services[-1]

    yield start
    for service in services:
        if service.running:
            service.kill()
        service.ask_to_end()
        service.join()
