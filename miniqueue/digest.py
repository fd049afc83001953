"""Digest: what happened to a queue in each second, in numbers, from its events. Pure.

Digests add up: two of the same second are merged by adding counts and joining lists, so a second
may be told in parts.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from miniqueue.views import Event, Mark

__all__ = ["BUCKETS_A_DECADE", "Digest", "Digester", "bucket"]

BUCKETS_A_DECADE = 8  # of the histograms: a step of a third
SPANS = 150  # attempts that can be drawn of one second
NOTES = 50  # events told singly of one second
REMEMBERED = 100_000  # tasks whose time of becoming ready is known
COMMON = {"enqueue", "claim", "complete", "extend", "promote"}  # only counted


@dataclass(slots=True)
class Digest:
    """One second (of Redis' clock). `verbs` counts tasks; `wait` and `run` are histograms.

    A span is an ended attempt: [task id, attempt, worker, started ms, run ms, verb].
    """

    second: int
    verbs: Counter[str] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)
    spans: list[list[Any]] = field(default_factory=list)
    stride: int = 1  # every so manieth ended attempt is among the spans
    ended: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)
    unsaid: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "second": self.second,
            "verbs": dict(self.verbs),
            "wait": dict(self.wait),
            "run": dict(self.run),
            "spans": self.spans,
            "stride": self.stride,
            "ended": self.ended,
            "notes": self.notes,
            "unsaid": self.unsaid,
        }


class Digester:
    """Takes events in order; gives the digests of what came since it was last asked."""

    def __init__(self) -> None:
        self._ready_ms: OrderedDict[str, int] = OrderedDict()
        self._digests: dict[int, Digest] = {}
        self.last = ""

    def add(self, event: Event) -> None:
        """Count an event."""
        second = event.at_ms // 1000
        digest = self._digests.setdefault(second, Digest(second))
        digest.verbs[event.verb] += max(1, len(event.tasks))
        self.last = event.id
        if event.verb in ("enqueue", "promote", "retry", "reclaim", "release"):
            for mark in event.tasks:
                self._ready(mark.task_id, event.at_ms)
        elif event.verb == "claim":
            for mark in event.tasks:
                self._claimed(digest, mark, event.at_ms)
        elif event.verb in ("complete", "fail"):
            for mark in event.tasks:
                _ended(digest, mark, event)
        if event.verb not in COMMON:
            _note(digest, event)

    def take(self) -> list[Digest]:
        """The digests since the last call, in order."""
        digests, self._digests = self._digests, {}
        return [digests[second] for second in sorted(digests)]

    def _ready(self, task_id: str, at_ms: int) -> None:
        self._ready_ms[task_id] = at_ms
        if len(self._ready_ms) > REMEMBERED:
            self._ready_ms.popitem(last=False)

    def _claimed(self, digest: Digest, mark: Mark, at_ms: int) -> None:
        if (ready := self._ready_ms.pop(mark.task_id, None)) is not None:
            digest.wait[bucket(at_ms - ready)] += 1


def bucket(ms: float) -> int:
    """The histogram's bucket: 0 ends at 0.1 ms, then eight a decade.

    >>> bucket(0.05), bucket(0.1), bucket(1), bucket(1000)
    (0, 0, 8, 32)
    """
    return max(0, math.ceil(BUCKETS_A_DECADE * math.log10(max(ms, 0.1) / 0.1) - 1e-9))


def _ended(digest: Digest, mark: Mark, event: Event) -> None:
    digest.ended += 1
    if mark.started_ms is None or mark.run_ms is None:
        return
    digest.run[bucket(mark.run_ms)] += 1
    if digest.ended % digest.stride == 0:
        span = [mark.task_id, mark.attempt, event.worker, mark.started_ms, mark.run_ms, event.verb]
        digest.spans.append(span)
    if len(digest.spans) > SPANS:
        del digest.spans[::2]
        digest.stride *= 2


def _note(digest: Digest, event: Event) -> None:
    if len(digest.notes) == NOTES:
        digest.unsaid += 1
        return
    told = {
        "id": event.id,
        "at_ms": event.at_ms,
        "verb": event.verb,
        "tasks": [mark.task_id for mark in event.tasks[:10]],
        "more": max(0, len(event.tasks) - 10),
        "worker": event.worker,
        "state": event.state,
        "reason": event.reason[:300],
    }
    digest.notes.append(told)
