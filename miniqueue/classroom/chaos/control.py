"""Control: the first sketch of this system in a chaos run. The check must see what it loses."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence

from miniqueue.classroom.chaos.arena import Arena
from miniqueue.classroom.chaos.evidence import Evidence
from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.load import Clients, Item
from miniqueue.classroom.chaos.run import Chaos
from miniqueue.classroom.chaos.sketch import QUEUE
from miniqueue.classroom.chaos.watch import until
from miniqueue.queue import Queue
from miniqueue.settings import Settings

__all__ = ["SketchChaos"]

LAST_S = 1.0  # the sketch cannot say whether its last tasks are done


class SketchArena(Arena):
    """Workers of the first sketch."""

    def scale(self, count: int, *, settings: Settings | None = None) -> None:
        """They give no sign of life to wait for."""
        self.workers = [self._start_worker(settings) for _ in range(count)]

    def _worker_command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "miniqueue.classroom.chaos.sketch", name]


class SketchClients(Clients):
    """One client, which writes to Redis as the sketch's API did."""

    def start(self, items: Sequence[Item]) -> None:
        self._threads.run(functools.partial(self._push, items))

    def _push(self, items: Sequence[Item]) -> None:
        raw = self._queue.client.raw
        for item in self._due(items):
            self._history.add("sent", item.key)
            try:
                raw.hset(f"sketch:{item.key}", mapping={"state": "queued", "s": item.seconds})
                raw.rpush(QUEUE, item.key)
            except Exception as error:
                self._unknown(item, error)
            else:
                self._accepted(item, item.key)


class SketchChaos(Chaos):
    """The same run. There are no events to read, so only what observers saw is judged."""

    kind = SketchArena

    def prepare(self, queue: Queue) -> None:
        """It has no schedules."""

    def clients(self, arena: Arena, queue: Queue, history: History) -> Clients:
        return SketchClients(arena.url, queue, history)

    def census(self, queue: Queue) -> None:
        """It cannot say where its tasks are."""

    def drain(self, queue: Queue, history: History, told: Callable[[], object]) -> int:
        def empty() -> bool:
            told()
            return not queue.client.raw.llen(QUEUE)

        until(empty, self.size.drain_s)
        time.sleep(LAST_S)
        return 0

    def evidence(self, queue: Queue, known: Evidence) -> Evidence:
        return known
