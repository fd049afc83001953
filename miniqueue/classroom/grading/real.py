"""Real: a Redis and processes of one's own, for the check of a lab that kills something.

with Real(lab, answer) as real:
    worker = real.start("worker", "w1")     # the lab's program `worker(answer, redis, "w1")`
    real.until(lambda: real.redis.llen("queue") < 10, worker)
    worker.kill()
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from miniqueue.classroom.grading.lab import Answer, Lab
from miniqueue.classroom.reach import answers
from miniqueue.classroom.service import Service, free_port, redis_command
from miniqueue.redis_client import connect
from miniqueue.settings import Settings

__all__ = ["Real"]

MODULE = __package__ or ""
PATIENCE_S = 15.0  # what takes tenths of a second, on a machine that has much else to do


class Real:
    """A private server, `redis` to look into it, and supervised processes that run the answer."""

    def __init__(self, lab: Lab, answer: Answer) -> None:
        self._lab = lab
        self._text = answer.text
        self._services: list[Service] = []

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="miniqueue-lab-")
        folder = Path(self._temporary.name)
        self._answer = folder / "answer.py"
        self._answer.write_text(self._text, encoding="utf-8")
        port = free_port()
        self.settings = replace(Settings(), redis_url=f"redis://127.0.0.1:{port}/0")
        self._client = connect(self.settings)
        self.redis: Any = self._client.raw
        self._launch("redis", redis_command(port, folder))
        if not self.until(lambda: answers(self._client)):
            self.__exit__()
            raise OSError("the Redis of this check does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        for service in reversed(self._services):
            service.ask_to_end()
        for service in self._services:
            service.join()
        self._temporary.cleanup()

    def start(self, program: str, *words: str) -> Service:
        """A process that runs a program of the lab with this answer; it ends with this one."""
        command = [sys.executable, "-m", MODULE, "--program", program, str(self._lab.folder)]
        return self._launch(f"{program} {' '.join(words)}", [*command, str(self._answer), *words])

    def until(self, holds: Callable[[], bool], *needed: Service) -> bool:
        """Wait for it; gives whether it came to hold.

        Nobody waits longer than for the end of one of those that are `needed` for it.
        """
        end = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end or not all(service.running for service in needed):
                return holds()
            time.sleep(0.01)
        return True

    def _launch(self, name: str, command: list[str]) -> Service:
        log = Path(self._temporary.name) / f"{len(self._services)}.log"
        environ = {**os.environ, **self.settings.environ()}
        service = Service(name, command, log=log, environ=environ, grace_s=0.5)
        self._services.append(service)
        return service
