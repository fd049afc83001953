"""Metrics: what a worker counts of its runs, by function, for its roster entry and for Redis.

Counting is in the way of every task, so it is a few additions into lists that are there already.
Once a second the keeper takes what is new (news()) and has count.lua add it to the queue's hash
`counts`, where it outlives the worker; prometheus.py shows it. What a worker counted in its last
second dies with it, if it is killed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from miniqueue.middleware import Middleware, Outcome
from miniqueue.outcome import Run
from miniqueue.protocol.records import Completion, Failure
from miniqueue.task import encode_json

__all__ = ["BOUNDS", "EDGES", "ENDS", "OTHERS", "UNKNOWN", "Metrics", "News"]

MOST_NAMES = 200  # functions that one worker counts by name
MOST_CHARACTERS = 100  # of a name
OTHERS = "(others)"  # functions beyond those; count.lua knows this name, too
UNKNOWN = "(unknown)"  # functions that this worker does not have: their names are anybody's
# Upper bounds of the buckets, in ms; a last bucket has no bound.
SHORTER = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)
BOUNDS = (*SHORTER, 300_000, 1_800_000)
RUN_BOUNDS = tuple(map(float, BOUNDS))  # a float and an int are slower to compare
ENDS = ("succeeded", "failed", "cancelled", "retried", "lost")  # what becomes of a run
EDGES = (*BOUNDS, "inf")
# What stands at each place of a list of counts; also the first word of a field in Redis.
KINDS = (
    *ENDS,
    "run_us",
    "wait_ms",
    *(f"run:{bound}" for bound in EDGES),
    *(f"wait:{bound}" for bound in EDGES),
)
RUN_US, WAIT_MS, RUN, WAIT = map(KINDS.index, ("run_us", "wait_ms", "run:1", "wait:1"))


class News(NamedTuple):
    """A number to add: `kind` is one of KINDS and `name` a function, or `kind` is "redis_errors" or
    "lease_losses" and `name` who found that: "worker" or "api".
    """

    kind: str
    name: str
    number: int


class Metrics(Middleware):
    """Counts runs by function: how they ended, how long they waited and ran.

    `redis_errors` is what the worker's threads add to when Redis does not answer.
    """

    def __init__(self) -> None:
        self.redis_errors = 0
        self._lost: deque[tuple[str, int]] = deque(maxlen=1000)
        self._losses = 0
        self._counts: dict[str, list[float]] = {}
        self._told: dict[tuple[str, str], int] = {}
        self._telling: list[News] = []

    def after(self, run: Run, ended: Outcome) -> None:
        task = run.task
        counts = self._counts.get(task.name) or self._new(run)
        # Those that succeeded are not counted here: they are the runs that ended in no other way.
        run_ms = ended.run_ms if type(ended) is Completion else _otherwise(counts, run, ended)
        wait_ms = run.started_ms - task.since_ms
        counts[RUN + bisect_left(RUN_BOUNDS, run_ms)] += 1
        counts[RUN_US] += run_ms
        counts[WAIT + bisect_left(BOUNDS, wait_ms)] += 1
        if wait_ms > 0:  # two clocks may be a moment apart
            counts[WAIT_MS] += wait_ms

    def _new(self, run: Run) -> list[float]:
        name = run.task.name[:MOST_CHARACTERS].encode(errors="replace").decode()
        if run.function is None:
            name = UNKNOWN
        if name not in self._counts and len(self._counts) >= MOST_NAMES:
            name = OTHERS
        return self._counts.setdefault(name, [0] * len(KINDS))

    def lost(self, task_id: str, attempt: int) -> None:
        """This attempt has lost its lease: a run may hear of it twice, and it counts once."""
        if (task_id, attempt) not in self._lost:
            self._lost.append((task_id, attempt))
            self._losses += 1

    def text(self) -> str:
        """How runs ended and their seconds, as JSON: {function: {succeeded, seconds, ...}}."""
        told = {name: _ends(_whole(counts)) for name, counts in list(self._counts.items())}
        return encode_json(told)

    def news(self) -> list[News]:
        """What has come since the last told()."""
        now = dict(self._totals())
        before = self._told
        found = [News(*at, total - before.get(at, 0)) for at, total in now.items()]
        self._telling = [one for one in found if one.number > 0]
        return self._telling

    def told(self) -> None:
        """What news() gave last has been added to what Redis keeps."""
        for kind, name, number in self._telling:
            self._told[kind, name] = self._told.get((kind, name), 0) + number
        self._telling = []

    def _totals(self) -> Iterator[tuple[tuple[str, str], int]]:
        yield ("redis_errors", "worker"), self.redis_errors
        yield ("lease_losses", "worker"), self._losses
        for name, counts in list(self._counts.items()):
            yield from (((kind, name), n) for kind, n in zip(KINDS, _whole(counts), strict=True))


def _otherwise(counts: list[float], run: Run, ended: Outcome) -> float:
    """Count an end that is no success; gives how long the run took, ms."""
    if not isinstance(ended, Failure):
        counts[ENDS.index("lost")] += 1
        return run.run_ms
    counts[ENDS.index("retried" if ended.state == "scheduled" else ended.state)] += 1
    return ended.run_ms


def _whole(counts: list[float]) -> list[int]:
    """The counts at this moment (other threads go on), in the units of KINDS."""
    now = list(counts)
    now[0] = sum(now[RUN:WAIT]) - sum(now[1 : len(ENDS)])
    now[RUN_US] *= 1000
    return [int(number) for number in now]


def _ends(counts: list[int]) -> dict[str, float]:
    told: dict[str, float] = {kind: n for kind, n in zip(ENDS, counts, strict=False) if n}
    return told | {"seconds": counts[RUN_US] / 1e6}
