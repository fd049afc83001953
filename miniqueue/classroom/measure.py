"""Measure: throughput as workers scale, and the laws that one lays over the points.

`measure()` sends a workload through HTTP to a running Stack and times it; `scaling()` does so at
several numbers of workers, with all workloads in turn at each, so that a noisy minute of the
machine hits every workload alike. Rates are tasks a second. Stands on: Amdahl, "Validity of the
Single Processor Approach" (1967); Gunther, "Guerrilla Capacity Planning" (2007).
"""

from __future__ import annotations

import os
import statistics
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import stdtrit  # Student's t; scipy.stats takes a second to import

from miniqueue.classroom.stack import Stack
from miniqueue.errors import StackError

__all__ = [
    "Fit",
    "Point",
    "Workload",
    "amdahl",
    "computing",
    "empty",
    "fit_amdahl",
    "fit_usl",
    "fitted",
    "gain",
    "measure",
    "medians",
    "scaling",
    "size",
    "sleeping",
    "usl",
    "verdict",
]

Array = npt.NDArray[np.float64]
BULK = 500
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Workload:
    """Tasks to send. `calls(workers)` gives the bodies for that many workers.

    `name` labels a chart.
    """

    name: str
    calls: Callable[[int], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `count` tasks by `workers` workers took `seconds`."""

    workload: str
    workers: int
    count: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Fit:
    """A law fitted to rates: its parameters, and their standard errors where they could be told.

    `freedom` is the number of points less the number of parameters.
    """

    law: str
    parameters: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    covariance: Array | None = field(default=None, repr=False, compare=False)
    freedom: int = 0

    def __call__(self, workers: Array | Sequence[float] | float) -> Array:
        """The rate that the law gives for these numbers of workers."""
        n = np.asarray(workers, dtype=float)
        return LAWS[self.law](n, *self.parameters.values())

    def band(
        self, workers: Array | Sequence[float], confidence: float = 0.95
    ) -> tuple[Array, Array] | None:
        """Lower and upper limit of the law's rate at that confidence (delta method).

        None where there are too few points to tell: at most one more than there are parameters.
        """
        if self.covariance is None or self.freedom < 2:
            return None
        n, values = np.asarray(workers, dtype=float), list(self.parameters.values())
        slopes = []
        for i, value in enumerate(values):
            step = 1e-6 * max(abs(value), 1e-3)
            moved = [*values[:i], value + step, *values[i + 1 :]]
            slopes.append((LAWS[self.law](n, *moved) - self(n)) / step)
        slope = np.array(slopes)
        spread = np.sqrt(np.einsum("in,ij,jn->n", slope, self.covariance, slope).clip(min=0))
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * spread
        return (self(n) - half).clip(min=0), self(n) + half


def sleeping(ms: float, per_worker: int) -> Workload:
    """Tasks that wait, as one does that asks another service: they scale with the workers."""
    body = {"name": "sleep", "args": [ms / 1000]}
    return Workload(f"sleep {ms:g} ms", lambda workers: [body] * (per_worker * workers))


def computing(ms: float, count: int) -> Workload:
    """Tasks that use a core: they scale until the cores are used up."""
    return Workload(f"cpu {ms:g} ms", lambda workers: [{"name": "cpu", "args": [ms]}] * count)


def empty(count: int) -> Workload:
    """Tasks that do nothing: what is measured is the queue itself."""
    return Workload("empty", lambda workers: [{"name": "echo"}] * count)


def send(stack: Stack, bodies: Sequence[dict[str, Any]]) -> list[str]:
    """Send tasks through HTTP in bulk; gives their ids."""
    ids: list[str] = []
    for at in range(0, len(bodies), BULK):
        reply = stack.http.post("/tasks", json={"tasks": bodies[at : at + BULK]})
        if reply.status_code != 202:
            raise StackError(f"POST /tasks answered {reply.status_code}: {reply.text[:500]}")
        ids += reply.json()["task_ids"]
    return ids


def measure(
    stack: Stack, workload: Workload, on_progress: Callable[[int, int], object] | None = None
) -> tuple[Point, list[str]]:
    """Send the workload while the queue is paused, let it go, wait until all is done.

    Paused, because it is the workers that are measured, not the sending. `on_progress(done, count)`
    is called some times a second. Raises StackError if a task fails or the end does not come.
    """
    workers = sum(worker.running for worker in stack.workers)
    bodies = workload.calls(workers)
    queue = f"/queues/{stack.queue.name}"
    stack.queue.client.run(stack.queue.protocol.roster.register(stack.queue.name))
    stack.http.post(f"{queue}/pause").raise_for_status()
    try:
        before = _ended(stack)
        ids = send(stack, bodies)
        last = stack.events(limit=1)[-1].id
    finally:
        stack.http.post(f"{queue}/resume").raise_for_status()
    resumed_ms = _resumed_ms(stack, last)
    for done in _until(stack, before, len(ids)):
        if on_progress is not None:
            on_progress(done, len(ids))
    seconds = max(1, _last_end_ms(stack) - resumed_ms) / 1000
    return Point(workload.name, workers, len(ids), seconds), ids


def scaling(
    stack: Stack,
    workloads: Sequence[Workload],
    sizes: Sequence[int],
    *,
    repeats: int = 1,
    on_progress: Callable[[str, int, int, int], object] | None = None,
) -> Iterator[Point]:
    """Points of every workload at every size, `repeats` times; sizes change least often."""
    for workers in sizes:
        stack.scale(workers)
        for _ in range(repeats):
            for workload in workloads:
                report = _named(on_progress, workload.name, workers)
                yield measure(stack, workload, report)[0]


def medians(points: Sequence[Point], workload: str) -> dict[int, tuple[float, float, float]]:
    """For each number of workers: median, lowest and highest rate of a workload."""
    rates: dict[int, list[float]] = {}
    for point in points:
        if point.workload == workload:
            rates.setdefault(point.workers, []).append(point.rate)
    return {n: (statistics.median(r), min(r), max(r)) for n, r in sorted(rates.items())}


def gain(points: Sequence[Point], workload: str) -> float:
    """Median rate at the most workers over the median rate at the fewest."""
    rates = [median for median, _, _ in medians(points, workload).values()]
    return rates[-1] / rates[0]


# -- notebooks -------------------------------------------------------------------------------------


def size(in_class: int, in_ci: int) -> int:
    """How much to send: MINIQUEUE_CI=1 makes a notebook smaller, never another one."""
    return in_ci if os.environ.get("MINIQUEUE_CI", "0") not in ("", "0") else in_class


def verdict(claim: str, holds: bool) -> None:
    """Print what a measurement says of a claim: the same line on every machine.

    >>> verdict("8 workers: at least 6x one worker", 370 / 48 >= 6)
    8 workers: at least 6x one worker: yes
    """
    print(f"{claim}: {'yes' if holds else 'no'}")


# -- laws ------------------------------------------------------------------------------------------


def amdahl(n: Array, one: float, serial: float) -> Array:
    """Rate of n workers when a share `serial` of the work cannot be divided (Amdahl 1967)."""
    return one * n / (1 + serial * (n - 1))


def usl(n: Array, one: float, contention: float, coherence: float) -> Array:
    """Gunther's Universal Scalability Law (1993): Amdahl's with a cost for keeping in step."""
    return one * n / (1 + contention * (n - 1) + coherence * n * (n - 1))


LAWS: dict[str, Callable[..., Array]] = {"Amdahl": amdahl, "USL": usl}


def fit_amdahl(workers: Sequence[float], rates: Sequence[float]) -> Fit:
    """Least squares of relative errors; `serial` is 0 (no limit) to 1 (nothing gained)."""
    return _fit("Amdahl", ("one", "serial"), workers, rates)


def fit_usl(workers: Sequence[float], rates: Sequence[float]) -> Fit:
    """The same for `contention` and `coherence`; needs at least three sizes to say anything."""
    return _fit("USL", ("one", "contention", "coherence"), workers, rates)


def fitted(points: Sequence[Point], workload: str) -> list[Fit]:
    """Both laws, fitted to every point of a workload: repeats tell how far to trust a curve."""
    own = [point for point in points if point.workload == workload]
    workers, rates = [point.workers for point in own], [point.rate for point in own]
    return [fit_amdahl(workers, rates), fit_usl(workers, rates)]


def _fit(law: str, names: tuple[str, ...], workers: Sequence[float], rates: Sequence[float]) -> Fit:
    n, x = np.asarray(workers, dtype=float), np.asarray(rates, dtype=float)
    if len(set(workers)) < 2:
        raise ValueError(f"a fit of {law} needs at least two sizes, not {len(set(workers))}")
    start = [x[0] / n[0], *([0.01] * (len(names) - 1))]
    upper = [np.inf, *([1.0] * (len(names) - 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # too few points for errors: said below
        found, covariance = curve_fit(
            LAWS[law], n, x, p0=start, sigma=x, bounds=([0.0] * len(names), upper), maxfev=10_000
        )
    freedom = len(n) - len(names)
    told = freedom > 0 and bool(np.isfinite(covariance).all())
    errors = np.sqrt(np.diag(covariance)) if told else [float("nan")] * len(names)
    return Fit(
        law,
        dict(zip(names, map(float, found), strict=True)),
        dict(zip(names, map(float, errors), strict=True)),
        covariance if told else None,
        freedom,
    )


# -- the real workload -----------------------------------------------------------------------------


def library_files() -> list[str]:
    """The .py files of Python's standard library, as paths below its folder.

    Not those that are links to elsewhere (Debian's sitecustomize.py): a task reads nothing there.
    """
    root = Path(sysconfig.get_paths()["stdlib"]).resolve()
    own = (path for path in root.rglob("*.py") if path.resolve().is_relative_to(root))
    found = (path.relative_to(root) for path in own)
    return sorted(str(path) for path in found if "site-packages" not in path.parts)


def counting_words(files: Sequence[str]) -> Workload:
    """A task a file: count its words."""
    bodies = [{"name": "count_words", "args": [path]} for path in files]
    return Workload("count words", lambda workers: bodies)


# -- waiting ---------------------------------------------------------------------------------------


def _ended(stack: Stack) -> tuple[int, int]:
    verbs = stack.http.get("/stats").raise_for_status().json()["verbs"]
    return verbs.get("complete", 0), verbs.get("fail", 0)


def _resumed_ms(stack: Stack, after: str) -> int:
    """When the queue was resumed, by Redis' clock; `after` is an event id."""
    events = stack.inspector.events(after=after, limit=10)
    return next(event.at_ms for event in events if event.verb == "resume")


def _last_end_ms(stack: Stack) -> int:
    """When the last task ended, by the same clock."""
    (last,) = stack.http.get("/tasks", params={"state": "succeeded", "limit": 1}).json()["tasks"]
    return int(last["finished_ms"])


def _until(stack: Stack, before: tuple[int, int], count: int) -> Iterator[int]:
    end = time.monotonic() + PATIENCE_S
    while True:
        completed, failed = _ended(stack)
        if failed > before[1]:
            raise StackError(
                "a task of the workload failed; see `miniqueue inspect tasks --state failed`"
            )
        yield completed - before[0]
        if completed - before[0] >= count:
            return
        if time.monotonic() > end:
            raise StackError(
                f"only {completed - before[0]} of {count} tasks were done in {PATIENCE_S:g} s"
            )
        time.sleep(0.05)


def _named(
    on_progress: Callable[[str, int, int, int], object] | None, name: str, workers: int
) -> Callable[[int, int], object] | None:
    if on_progress is None:
        return None
    return lambda done, count: on_progress(name, workers, done, count)
