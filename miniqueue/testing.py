"""Testing aids: a queue without a server, whose tasks run at once in the test itself.

    def test_mail(miniqueue_queue):                 # a pytest fixture that miniqueue brings
        handle = miniqueue_queue.enqueue(send_mail, "you@example.org")
        assert handle.wait() == "sent"

It is the real protocol, scripts and all, on fakeredis (the extra `testing`); the same tests hold
it there and on a server. Time does not pass: a task with a delay, or between two attempts, waits
until `run_scheduled()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from miniqueue.errors import ConfigError
from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, default_registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker

__all__ = ["EagerQueue", "eager_queue", "miniqueue_queue"]

MOST_TURNS = 10_000  # a task that sends a task that sends a task ...


class EagerQueue(Queue):
    """A Queue that runs what it is sent, in the calling thread, before enqueue() returns."""

    def __init__(self, client: Client, settings: Settings, registry: Registry) -> None:
        super().__init__(settings=settings, registry=registry, client=client)
        self._worker = Worker(self, registry, name="eager")
        self._running = False

    def submit(self, submissions: Sequence[Submission]) -> list[str]:
        ids = super().submit(submissions)
        self.run()
        return ids

    def run(self) -> int:
        """Run all that is ready; gives how many tasks ran. A task's own tasks run after it."""
        if self._running:
            return 0
        self._running = True
        try:
            ran = 0
            for _ in range(MOST_TURNS):
                done = self._worker.run_once()
                ran += done
                if not done and not self._ready():
                    return ran
            raise RuntimeError(f"tasks still come after {MOST_TURNS:,} turns: is it a loop?")
        finally:
            self._running = False

    def run_scheduled(self) -> int:
        """Run all that waits for its time (delays, retries) as if that had come; gives how many."""
        key = (self.protocol.keys.scheduled,)
        ids: list[str] = self.client.run(Call("ZRANGE", key, (0, -1), list))
        if ids:
            due = [word for task_id in ids for word in (0, task_id)]
            self.client.run(Call("ZADD", key, due, int))
        return self.run()

    def _ready(self) -> int:
        lengths = [Call("LLEN", (key,), (), int) for key in self.protocol.keys.ready]
        ended = Call("LLEN", (self.protocol.keys.ended,), (), int)
        return sum(self.client.run_many([*lengths, ended]))


def eager_queue(
    registry: Registry = default_registry, settings: Settings | None = None
) -> EagerQueue:
    """A fresh EagerQueue on a server of its own in memory. Raises ConfigError without fakeredis."""
    try:
        import fakeredis
    except ImportError:
        raise ConfigError("eager_queue needs fakeredis: pip install 'miniqueue[testing]'") from None
    raw = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    return EagerQueue(Client(raw), settings or Settings(), registry)


@pytest.fixture
def miniqueue_queue() -> Iterator[EagerQueue]:
    """An empty EagerQueue with the functions of the default registry."""
    queue = eager_queue()
    yield queue
    queue.client.close()
