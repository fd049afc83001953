"""What the read side shows: events, pages, queues and workers, read from replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from miniqueue.protocol.calls import pairs
from miniqueue.task import Task, decode, to_float, to_int

__all__ = ["Event", "Mark", "Page", "Piece", "QueueInfo", "WorkerInfo"]

ALIVE_S = 5.0  # a worker that has not beaten for so long is late


@dataclass(frozen=True, slots=True)
class Mark:
    """A task in an event: which attempt; for an ended one also when it ran and how long."""

    task_id: str
    attempt: int
    started_ms: int | None = None
    run_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the event stream. One call of a verb is one event, with up to 100 tasks."""

    id: str
    at_ms: int
    verb: str
    tasks: tuple[Mark, ...] = ()
    worker: str = ""
    state: str = ""
    reason: str = ""

    def of_task(self, task_id: str) -> Event | None:
        """The event as far as it is about one task; None where it is not."""
        marks = tuple(mark for mark in self.tasks if mark.task_id == task_id)
        return replace(self, tasks=marks) if marks else None


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of output that a task has emitted; `id` is where to go on reading."""

    id: str
    text: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks, and the cursor of the next page: None at the end."""

    tasks: list[Task]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue in numbers. `ready` counts by priority, `stats` calls of each verb so far."""

    name: str
    paused: bool
    ready: dict[str, int]
    scheduled: int
    deferred: int
    running: int
    failed: int
    finished: int
    oldest_wait_s: float
    stats: dict[str, int]

    @property
    def waiting(self) -> int:
        return sum(self.ready.values())


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it told of itself; `beat_age_s` is the time since its last sign of life.

    `runs` counts by function what became of its runs, and sums their seconds.
    """

    id: str
    queue: str
    host: str
    pid: int
    concurrency: int
    doing: list[str]
    done: int
    beat_age_s: float
    runs: dict[str, dict[str, float]]

    @property
    def alive(self) -> bool:
        return self.beat_age_s < ALIVE_S

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self) | {"alive": self.alive}


def parse_worker(worker_id: str, h: Mapping[str, str], now: int) -> WorkerInfo:
    """A worker hash; `now` is Redis' time in ms."""

    def number(field: str) -> int:
        text = h.get(field, "")
        return int(text) if text.isdigit() else 0

    return WorkerInfo(
        worker_id,
        h.get("queue", "?"),
        h.get("host", "?"),
        number("pid"),
        number("concurrency"),
        h.get("doing", "").split(),
        number("done"),
        round(max(0, now - number("beat_ms")) / 1000, 3),
        _runs(h.get("runs")),
    )


def _runs(text: str | None) -> dict[str, dict[str, float]]:
    told = decode(text, {})
    return told if isinstance(told, dict) else {}


def parse_events(reply: list[Any]) -> list[Event]:
    """Entries of an event stream, as Redis replies them."""
    return [_event(event_id, fields) for event_id, fields in reply]


def parse_pieces(found: list[tuple[str, Mapping[str, str]]]) -> list[Piece]:
    """Entries of an output stream."""
    return [Piece(i, h.get("piece", ""), to_int(h.get("attempt")) or 0) for i, h in found]


def _event(event_id: str, fields: Any) -> Event:
    h = pairs(fields)
    marks = tuple(_mark(word) for word in h.get("tasks", "").split())
    at_ms = int(event_id.partition("-")[0])
    return Event(
        event_id,
        at_ms,
        h.get("verb", "?"),
        marks,
        h.get("worker", ""),
        h.get("state", ""),
        h.get("reason", ""),
    )


def _mark(word: str) -> Mark:
    task_id, *numbers = word.split("/")
    attempt, started_ms, run_ms = (*(to_float(n) for n in numbers), None, None, None)[:3]
    if started_ms is None or run_ms is None:
        return Mark(task_id, int(attempt or 0))
    return Mark(task_id, int(attempt or 0), int(started_ms), run_ms)


def number(reply: Any) -> float | None:
    """A score, where there is one."""
    return None if reply is None else float(reply)


def scores(reply: list[Any]) -> list[tuple[str, float]]:
    """The reply of ZRANGE WITHSCORES: (member, score) pairs."""
    if reply and isinstance(reply[0], (tuple, list)):
        return [(member, float(score)) for member, score in reply]
    return [(m, float(s)) for m, s in zip(reply[::2], reply[1::2], strict=True)]
