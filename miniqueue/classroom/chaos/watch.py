"""Watch: what is looked at while a run goes on, and what is read when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from miniqueue.checkup import read_all
from miniqueue.classroom.chaos.arena import PROBE
from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.threads import Threads
from miniqueue.errors import BackendUnavailable
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.settings import Settings
from miniqueue.task import Task
from miniqueue.views import Event

__all__ = ["Watch", "all_events", "all_tasks", "census", "lasting_keys", "waiting"]

Census = Callable[[Queue], tuple[int, int] | None]
STALL_S = 0.25  # this thread slept so much longer than it wanted: the machine stood still
SAMPLE_S = 1.0
# Keys of an empty queue that may stay: capped, or as many as there are queues and workers.
BASELINE = (
    "stats",
    "counts",
    "events",
    "finished",
    "failed",
    "wake",
    "cron",
    "queues",
    "workers",
    "functions",
)


class Watch:
    """Once a second counts the tasks in all states; all the time notices a machine that stalls."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        census: Census,
    ) -> None:
        self._queue = Queue(settings=settings)
        self._history = history
        self._census = census
        self.threads = Threads()
        self.threads.run(self._count)
        self.threads.run(self._feel)

    def stop(self) -> None:
        self.threads.stop()
        self._queue.client.close()

    def _feel(self) -> None:
        last = time.monotonic()
        while not self.threads.ending.wait(0.02):
            now = time.monotonic()
            if now - last > STALL_S:
                self._history.add("stall", note=f"{now - last:.3f}")
            last = now

    def _count(self) -> None:
        while not self.threads.ending.wait(SAMPLE_S):
            known = self._history.count("accepted")
            try:
                counted = self._census(self._queue)
            except Exception:  # Redis is away
                continue
            if counted is None:
                return
            there, enqueued = counted
            if there != enqueued:
                self._history.add("uneven", note=f"{enqueued} were accepted, {there} are there")
            elif there < known:
                told = f"clients know of {known} accepted tasks, {there} are there"
                self._history.add("uneven", note=told)


def census(queue: Queue) -> tuple[int, int]:
    """Tasks in all structures, and tasks ever accepted, at one moment (MULTI)."""
    k = queue.protocol.keys
    pipe = queue.client.raw.pipeline(transaction=True)
    for key in k.ready:
        pipe.llen(key)
    for key in (k.scheduled, k.deferred, k.running, k.failed, k.finished):
        pipe.zcard(key)
    pipe.hget(k.stats, "enqueue")
    *counts, enqueued = pipe.execute()
    return sum(counts), int(enqueued or 0)


def waiting(queue: Queue) -> int:
    """Tasks that have not ended; BackendUnavailable while Redis is away."""
    info = Inspector(queue).queue_info(queue.name)
    return info.waiting + info.scheduled + info.deferred + info.running


def all_events(inspector: Inspector) -> list[Event]:
    """The whole event stream."""
    found: list[Event] = []
    while page := inspector.events(after=found[-1].id if found else "0", limit=5000):
        found += page
    return found


def all_tasks(queue: Queue, ids: list[str]) -> dict[str, Task]:
    """The tasks that are there, of these ids."""
    tasks = read_all(queue.client, queue.protocol.keys, ids)
    return {i: task for i, task in zip(ids, tasks, strict=True) if task is not None}


def lasting_keys(queue: Queue) -> list[str]:
    """Keys of the namespace that neither belong to an empty queue nor will expire."""
    raw, found = queue.client.raw, []
    for key in raw.scan_iter(match=f"{queue.settings.namespace}:*", count=1000):
        if key.rpartition(":")[2] not in BASELINE and key != PROBE and raw.ttl(key) == -1:
            found.append(key)
    return sorted(found)


def until(ready: Callable[[], object], seconds: float, look_s: float = 0.1) -> bool:
    """Whether it becomes true in time; Redis may be away meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():
                return True
        except BackendUnavailable:
            pass
        time.sleep(look_s)
    return False
