"""How many workers one machine needs. Little's law: the tasks that run at once are the arrivals a
second times the seconds that a task takes (Little, "A proof for the queuing formula L = λW", 1961).

Numbers in, a number out: nothing here reads a clock, asks Redis or starts a process. `read` makes
numbers of what the inspector shows, `Gauge` rates of two of them, `needed` workers of those, and
`Autoscaler` adds hysteresis: more workers at once, fewer one at a time and only after a calm.
Left out: other machines (KEDA does that, docs/deploy.md) and batch functions, whose seconds count
for each task of a batch, so that it asks for more workers than they need.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from miniqueue.errors import ConfigError
from miniqueue.views import QueueInfo, WorkerInfo

__all__ = ["MOST", "Aims", "Autoscaler", "Bounds", "Gauge", "Load", "Reading", "needed", "read"]

MOST = 256  # workers of one `miniqueue up`
TOLD_S = 1.5  # a run that ended is known by then: workers tell once a second
ENDS = ("succeeded", "failed", "cancelled", "retried", "lost")  # what becomes of a run


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fewest and the most workers.

    >>> Bounds.parse("1:8")
    Bounds(low=1, high=8)
    """

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """LOW:HIGH. Raises ConfigError for another text, and for LOW 0: what is scheduled, retried
        or left by the dead is queued again by workers, so the last one must stay.
        """
        match = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MOST:
            raise ConfigError(
                f"--autoscale {text!r}: say LOW:HIGH, like 1:8, with 1 <= LOW <= HIGH <= {MOST}"
            )
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def fixed(cls, count: int) -> Self:
        """Always so many. Raises ConfigError."""
        if not 0 <= count <= MOST:
            raise ConfigError(f"--workers {count}: say 0 to {MOST}")
        return cls(count, count)

    def clamp(self, count: int) -> int:
        """The nearest number within the bounds."""
        return max(self.low, min(self.high, count))


@dataclass(frozen=True, slots=True)
class Aims:
    """What to aim at. Times are in seconds."""

    window_s: float = 10.0  # rates are means over this time
    drain_s: float = 10.0  # what waits now shall have started in this time
    calm_s: float = 10.0  # fewer must do for so long before one worker goes
    busy_share: float = 0.8  # of its time a worker works; near 1 every wait is long


USUAL = Aims()


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen at one moment; `at_s` is monotonic, the counters only grow.

    `started`: claims without those that were handed back or put off. `runs`: by worker, how many
    runs ended, and their seconds. `busy`: lanes that were in a task.
    """

    at_s: float
    waiting: int = 0
    started: int = 0
    busy: int = 0
    runs: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """Arrivals a second, seconds a task, tasks that wait, and mean lanes in a task."""

    arrivals_per_s: float = 0.0
    service_s: float = 0.0
    waiting: int = 0
    busy: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.arrivals_per_s:.1f} tasks/s x {self.service_s:.3g} s"
            f" = {self.arrivals_per_s * self.service_s:.1f} at once, {self.waiting} waiting"
        )


def read(at_s: float, queue: QueueInfo, workers: Sequence[WorkerInfo]) -> Reading:
    """The numbers of a queue and of its workers; nothing waits for workers in a paused queue."""
    stats = queue.stats
    started = stats.get("claim", 0) - stats.get("release", 0) - stats.get("postpone", 0)
    own = [worker for worker in workers if worker.queue == queue.name]
    return Reading(
        at_s,
        0 if queue.paused else queue.waiting,
        started,
        sum(len(worker.doing) for worker in own if worker.alive),
        {worker.id: _total(worker) for worker in own},
    )


def _total(worker: WorkerInfo) -> tuple[float, float]:
    seconds = sum(tally.get("seconds", 0.0) for tally in worker.runs.values())
    counted = (
        n for tally in worker.runs.values() for word, n in tally.items() if word != "seconds"
    )
    return sum(counted), seconds


def needed(load: Load, concurrency: int, bounds: Bounds, aims: Aims = USUAL) -> int:
    """The workers of `concurrency` lanes that keep up with the load and drain what waits.

    >>> needed(Load(arrivals_per_s=20, service_s=0.1), 1, Bounds(1, 8))
    3
    >>> needed(Load(arrivals_per_s=20, service_s=0.1, waiting=400), 1, Bounds(1, 8))
    7
    """
    keep_up = max(load.arrivals_per_s * load.service_s / aims.busy_share, load.busy)
    drain = min(load.waiting, load.waiting * load.service_s / aims.drain_s)
    return bounds.clamp(math.ceil((keep_up + drain) / concurrency - 1e-9))


class Gauge:
    """Makes rates of readings: means over the last `window_s` seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a Redis that was away."""
        self._readings: deque[tuple[Reading, float, float]] = deque()
        self._seen: dict[str, tuple[float, float]] = {}
        self._runs = self._seconds = self._service_s = 0.0
        self._ended_s = 0.0  # when a run ended last, or no lane was busy

    def add(self, reading: Reading) -> Load:
        """The load with this reading in it."""
        if self._readings and reading.started < self._readings[-1][0].started:
            self.forget()  # the counters began anew
        if self._count(reading) or not reading.busy or not self._readings:
            self._ended_s = reading.at_s
        self._readings.append((reading, self._runs, self._seconds))
        begin_s = reading.at_s - self._window_s
        while len(self._readings) > 2 and self._readings[1][0].at_s <= begin_s:
            self._readings.popleft()
        oldest, runs, seconds = self._readings[0]
        if self._runs > runs:
            self._service_s = (self._seconds - seconds) / (self._runs - runs)
        passed_s = reading.at_s - oldest.at_s
        arrived = reading.started - oldest.started + reading.waiting - oldest.waiting
        return Load(
            max(0.0, arrived / passed_s) if passed_s > 0 else 0.0,
            max(self._service_s, reading.at_s - self._ended_s - TOLD_S),  # no shorter than its age
            reading.waiting,
            sum(r.busy for r, *_ in self._readings) / len(self._readings),
        )

    def _count(self, reading: Reading) -> bool:
        """Add what each worker did since it was last seen; whether any run ended."""
        before = self._runs
        for worker, (runs, seconds) in reading.runs.items():
            known = (runs, seconds) if not self._readings else (0.0, 0.0)
            seen_runs, seen_seconds = self._seen.get(worker, known)
            if runs >= seen_runs:  # else another process of that name
                self._runs += runs - seen_runs
                self._seconds += max(0.0, seconds - seen_seconds)
        self._seen = dict(reading.runs)
        return self._runs > before


class Autoscaler:
    """Says after each reading how many workers there should be."""

    def __init__(self, bounds: Bounds, concurrency: int, aims: Aims = USUAL) -> None:
        self._bounds, self._concurrency, self._aims = bounds, concurrency, aims
        self._gauge = Gauge(aims.window_s)
        self._workers = -1
        self._calm_s: float | None = None  # since when fewer would do
        self.load = Load()

    def forget(self) -> None:
        """Begin anew, as after a Redis that was away."""
        self._gauge.forget()
        self._calm_s = None

    def decide(self, reading: Reading, workers: int) -> int:
        """How many there should be, where there are `workers`: more at once, or one fewer."""
        self.load = self._gauge.add(reading)
        wanted = needed(self.load, self._concurrency, self._bounds, self._aims)
        if wanted >= workers:
            self._calm_s = None
        elif self._calm_s is None or workers != self._workers:
            self._calm_s = reading.at_s
        self._workers = workers
        if wanted >= workers:
            return wanted
        assert self._calm_s is not None
        return workers - (reading.at_s - self._calm_s >= self._aims.calm_s)
