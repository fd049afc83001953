"""Schedulers: a crowd that all see a tick at the same moment, as many workers do."""

from __future__ import annotations

import contextlib

from miniqueue.classroom.chaos.threads import Threads
from miniqueue.cron import due_calls, read
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import redis_time
from miniqueue.queue import Queue
from miniqueue.settings import Settings

__all__ = ["Schedulers"]

LOOK_S = 0.02  # a worker looks once a second


class Schedulers:
    """Threads that send whatever is due, until stop()."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self.threads = Threads()
        for _ in range(count):
            self.threads.run(self._send)

    def stop(self) -> None:
        """Send nothing more."""
        self.threads.stop()

    def _send(self) -> None:
        queue = Queue(settings=self._settings)
        protocol, kept = queue.protocol, queue.settings.events_kept
        while not self.threads.ending.wait(LOOK_S):
            with contextlib.suppress(BackendUnavailable):
                now_ms, found = queue.client.run_many([redis_time(), read(protocol)])
                if due := due_calls(protocol, list(found.values()), now_ms, kept):
                    queue.client.run_many(due)
        queue.client.close()
