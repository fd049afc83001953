"""Real workers in real processes, with short leases."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miniqueue.classroom.service import Service
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue, TaskHandle
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.crash import jobs
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
LEASE_S = 1.0


class Crew:
    """Worker processes by name, and the queue that they serve."""

    def __init__(self, queue: Queue, folder: Path) -> None:
        self.queue = queue
        self.inspector = Inspector(queue)
        self.diary = folder / "diary"
        self.workers: dict[str, Service] = {}
        self._folder = folder

    def hire(self, *names: str, **settings: float | str) -> None:
        """Start workers; returns when they all beat."""
        environ = {**os.environ, **self.queue.settings.but(**settings).environ()}
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        for name in names:
            command = [sys.executable, "-m", "miniqueue.worker", "--name", name]
            command += ["--import", "tests.crash.jobs"]
            log = self._folder / f"{name}.log"
            self.workers[name] = Service(name, command, log=log, environ=environ)
        wait_for(lambda: {w.id for w in self.inspector.workers()} >= set(names))

    def slow(self, seconds: float) -> TaskHandle:
        """A task whose first attempt takes so long; returns when that attempt has begun."""
        handle = self.queue.enqueue(jobs.first_is_slow, str(self.diary), seconds)
        wait_for(self.diary.exists)
        wait_for(self.diary.read_text)
        return handle

    def at_work(self, handle: TaskHandle) -> Service:
        """The worker that runs this task."""
        return self.workers[str(handle.get().worker)]

    def log(self, worker: Service) -> str:
        return worker.log.read_text()

    def verbs(self, handle: TaskHandle) -> list[str]:
        return [event.verb for event in self.inspector.timeline(handle.id)]

    def dismiss(self) -> None:
        for worker in self.workers.values():
            if worker.running:
                worker.kill()
            worker.ask_to_end()
            worker.join()


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, lease_s=LEASE_S)


@pytest.fixture
def make_crew(tmp_path: Path) -> Iterator[Callable[[Queue], Crew]]:
    """Crews that are dismissed at the end, whatever happens."""
    crews: list[Crew] = []

    def make(queue: Queue) -> Crew:
        crews.append(Crew(queue, tmp_path))
        return crews[-1]

    yield make
    for crew in crews:
        crew.dismiss()


@pytest.fixture
def crew(make_crew: Callable[[Queue], Crew], settings: Settings, client: Client) -> Crew:
    """A crew on the private server."""
    return make_crew(Queue(settings=settings, client=client))
