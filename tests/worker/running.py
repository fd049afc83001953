"""A worker in a thread, and clients that record or refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, T
from miniqueue.queue import Queue, TaskHandle
from miniqueue.redis_client import Client, Sent
from miniqueue.registry import Registry
from miniqueue.worker import Worker
from tests.processes import wait_for


@contextmanager
def running(worker: Worker, queue: Queue) -> Iterator[Worker]:
    """`worker.run()` in a thread; it is stopped, woken and joined at the end."""
    crashed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            crashed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        queue.client.raw.rpush(queue.protocol.keys.wake, 1)
        thread.join(8)
    assert not crashed, f"the worker crashed: {crashed[0]!r}"
    assert not thread.is_alive(), "the worker does not stop"


def with_settings(queue: Queue, **changes: Any) -> Queue:
    """The same queue with other settings."""
    settings = queue.settings.but(**changes)
    return Queue(settings=settings, client=queue.client, registry=queue.registry)


def with_client(queue: Queue, client: Client) -> Queue:
    return Queue(settings=queue.settings, client=client, registry=queue.registry)


def started(worker: Worker, registry: Registry) -> Worker:
    """A worker that knows from experience that every function of the registry is fast."""
    for _ in range(40):
        for name in registry.specs():
            worker.lanes[0].shared.pace.ran(name, 0.0001)
    return worker


def await_state(handle: TaskHandle, state: str, seconds: float = 5.0) -> None:
    wait_for(lambda: handle.state == state, seconds)


class Recorder(Client):
    """Remembers the calls of each round trip, by name.

    A script that the server does not know yet is sent again, call by call.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client.raw)
        self.trips: list[list[str]] = []

    def run(self, call: Call[T]) -> T:
        self.trips.append([call.name])
        return super().run(call)

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        self.trips.append([call.name for call in calls])
        return super().send(calls)

    def trips_with(self, name: str) -> list[list[str]]:
        return [trip for trip in self.trips if name in trip]


class Refuser(Client):
    """Redis is away for every round trip while `away` is set."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.raw)
        self.away = threading.Event()
        self.refused = 0

    def run(self, call: Call[T]) -> T:
        self._refuse()
        return super().run(call)

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        self._refuse()
        return super().send(calls)

    def _refuse(self) -> None:
        if self.away.is_set():
            self.refused += 1
            raise BackendUnavailable("refused by the test")
