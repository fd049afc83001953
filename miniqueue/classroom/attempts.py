"""Attempts: what each worker did when, read from the event stream. Pure.

A claim opens an attempt; complete, fail, release, postpone and reclaim close it. Events carry up to
100 tasks, an attempt is one task on one worker. Times are Redis' clock, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from miniqueue.views import Event, Mark

__all__ = ["Attempt", "Outcome", "attempts_of"]

Outcome = Literal["succeeded", "failed", "cancelled", "lost", "released", "running"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claim of a task; `number` counts the claims of the task from 1.

    An attempt that was lost ends when its lease was seen to have run out, one that still runs at
    the last event.
    """

    worker: str
    task: str
    number: int
    start_ms: float
    end_ms: float
    outcome: Outcome

    @property
    def seconds(self) -> float:
        return (self.end_ms - self.start_ms) / 1000


def attempts_of(events: Iterable[Event], tasks: Collection[str] | None = None) -> list[Attempt]:
    """The attempts that these events tell of, in the order of their claims.

    With `tasks`, only those of these ids. An attempt that was claimed before the first event comes
    first, if its end says when it started.

    >>> from miniqueue.views import Event, Mark
    >>> claim = Event("1-0", 1000, "claim", (Mark("a", 1),), "w0")
    >>> done = Event("2-0", 1300, "complete", (Mark("a", 1, 1010, 250.0),), "w0")
    >>> attempts_of([claim, done])
    [Attempt(worker='w0', task='a', number=1, start_ms=1010.0, end_ms=1260.0, outcome='succeeded')]
    """
    wanted = None if tasks is None else set(tasks)
    opened: dict[tuple[str, int], tuple[str, int]] = {}
    place: dict[tuple[str, int], int] = {}
    ended: list[Attempt] = []
    now = 0
    for event in events:
        now = event.at_ms
        for mark in event.tasks:
            if wanted is not None and mark.task_id not in wanted:
                continue
            key = (mark.task_id, mark.attempt)
            if event.verb == "claim":
                opened[key] = (event.worker, event.at_ms)
                place[key] = len(place)
            elif (outcome := _outcome(event)) is not None:
                ended += _ended(event, mark, opened.pop(key, None), outcome)
    for (task, number), (worker, start_ms) in opened.items():
        ended.append(Attempt(worker, task, number, start_ms, now, "running"))
    return sorted(ended, key=lambda a: (place.get((a.task, a.number), -1), a.start_ms))


def _outcome(event: Event) -> Outcome | None:
    if event.verb == "fail":
        return "cancelled" if event.state == "cancelled" else "failed"
    ends: dict[str, Outcome] = {
        "complete": "succeeded",
        "release": "released",
        "postpone": "released",
        "reclaim": "lost",
    }
    return ends.get(event.verb)


def _ended(
    event: Event, mark: Mark, opened: tuple[str, int] | None, outcome: Outcome
) -> list[Attempt]:
    """One attempt, or none where nothing tells when it started."""
    if mark.started_ms is not None and mark.run_ms is not None:
        start, end = float(mark.started_ms), mark.started_ms + mark.run_ms
        return [Attempt(event.worker, mark.task_id, mark.attempt, start, end, outcome)]
    if opened is None:
        return []
    worker, start_ms = opened
    return [Attempt(worker, mark.task_id, mark.attempt, start_ms, event.at_ms, outcome)]
