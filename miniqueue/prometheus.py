"""Prometheus: what GET /metrics says, in the text format or in OpenMetrics, whichever is asked for.

All of it is read from Redis (workers have count.lua add to a hash of their queue), so every API
process says the same, and a counter outlives the worker that counted. A queue that a foreign hand
broke is left out, and its `miniqueue_queue_readable` is 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from miniqueue import __version__
from miniqueue.errors import BackendUnavailable
from miniqueue.inspector import Inspector
from miniqueue.metrics import BOUNDS, EDGES
from miniqueue.views import QueueInfo

__all__ = ["exposition"]

STATES = ("scheduled", "deferred", "running", "failed", "finished")
VERBS = (  # of a queue's stats; reclaim has a counter of its own
    *("enqueue", "claim", "complete", "fail", "cancel", "release", "promote", "postpone"),
    *("advance", "retry", "purge", "vanished"),
)
ROLES = ("api", "worker")
LE = [*(str(bound / 1000) for bound in BOUNDS), "+Inf"]  # upper bounds in seconds
Rows = Mapping[tuple[str, ...], float]  # the values of the labels, and a number


def exposition(inspector: Inspector, accept: str | None) -> tuple[bytes, str]:
    """The text and its media type. Raises BackendUnavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(inspector))
    encode, media_type = choose_encoder(accept or "")
    return encode(registry), media_type


class _Snapshot(Collector):
    """One look at Redis, as families of metrics."""

    def __init__(self, inspector: Inspector) -> None:
        self._workers = [worker for worker in inspector.workers() if worker.alive]
        self._queues: list[QueueInfo] = []
        self._counts: dict[str, dict[str, dict[str, int]]] = {}  # by queue, kind, name
        self._readable = {name: self._read(inspector, name) for name in inspector.queue_names()}

    def _read(self, inspector: Inspector, name: str) -> bool:
        try:
            info, counts = inspector.queue_info(name), inspector.counts(name)
        except BackendUnavailable:
            inspector.now_ms()  # raises where not this queue, but Redis is away
            return False
        self._queues.append(info)
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        for field, number in counts.items():
            kind, _, function = field.partition(" ")
            kinds[kind][function] = number
        self._counts[name] = kinds
        return True

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "build_info", "Always 1; its label is the version", {(__version__,): 1}, "version"
        )
        yield from self._tasks()
        yield from self._operations()
        yield from self._ends()
        yield self._histogram(
            "wait", "Seconds from when a task was due to its start", "wait_ms", 1e3
        )
        yield self._histogram("run", "Seconds that a run took", "run_us", 1e6)
        yield from self._crew()

    def _tasks(self) -> Iterator[Metric]:
        queues = self._queues
        doc = "0: its keys in Redis are broken, and nothing else is told of it"
        yield _gauge("queue_readable", doc, {(q,): ok for q, ok in self._readable.items()}, "queue")
        doc = "Tasks that may start as soon as a worker is free"
        depths: Rows = {(q.name, p): n for q in queues for p, n in q.ready.items()}
        yield _gauge("queue_depth", doc, depths, "queue", "priority")
        doc = (
            "Tasks by state; the finished ones have succeeded or were cancelled, and are still kept"
        )
        told: Rows = {(q.name, s): getattr(q, s) for q in queues for s in STATES}
        queued: Rows = {(q.name, "queued"): q.waiting for q in queues}
        yield _gauge("tasks", doc, {**queued, **told}, "queue", "state")
        doc = "Age of the task that has waited longest of those at the heads of the lists"
        ages: Rows = {(q.name,): q.oldest_wait_s for q in queues}
        yield _gauge("oldest_waiting_age_seconds", doc, ages, "queue")
        doc = "1: nothing starts until it is resumed"
        yield _gauge("queue_paused", doc, {(q.name,): q.paused for q in queues}, "queue")

    def _operations(self) -> Iterator[Metric]:
        stats = {q.name: q.stats for q in self._queues}
        doc = "Tasks that a verb of the protocol was applied to"
        done: Rows = {(q, v): max(0, n.get(v, 0)) for q, n in stats.items() for v in VERBS}
        yield _counter("operations", doc, done, "queue", "verb")
        doc = "Tasks taken back from workers whose leases ran out"
        back: Rows = {(q,): max(0, n.get("reclaim", 0)) for q, n in stats.items()}
        yield _counter("reclaims", doc, back, "queue")
        doc = "Leases that a worker found lost: it dropped the result, or broke off the run"
        lost: Rows = {(q,): n["lease_losses"].get("worker", 0) for q, n in self._counts.items()}
        yield _counter("lease_losses", doc, lost, "queue")
        doc = "Calls that Redis did not answer or refused"
        failed: Rows = {
            (q, r): n["redis_errors"].get(r, 0) for q, n in self._counts.items() for r in ROLES
        }
        yield _counter("redis_errors", doc, failed, "queue", "role")

    def _ends(self) -> Iterator[Metric]:
        doc = "Runs that ended their task, by its state"
        ends = ("succeeded", "failed", "cancelled")
        told: Rows = {(*at, end): n for end in ends for at, n in self._of_functions(end).items()}
        yield _counter("tasks_ended", doc, told, "queue", "function", "state")
        doc = "Runs that failed and whose task is tried again"
        yield _counter("retries", doc, self._of_functions("retried"), "queue", "function")

    def _of_functions(self, kind: str) -> Rows:
        """A number of every function that has run: one that begins with 0 can be told a rate."""
        return {
            (queue, name): kinds[kind].get(name, 0)
            for queue, kinds in self._counts.items()
            for name in sorted({name for edge in EDGES for name in kinds[f"run:{edge}"]})
        }

    def _histogram(self, what: str, doc: str, total: str, units: float) -> Metric:
        """`total` is the kind of their sum, which is told in `units` of a second."""
        labels = ("queue", "function")
        family = HistogramMetricFamily(f"miniqueue_task_{what}_seconds", doc, labels=labels)
        for (queue, name), number in self._of_functions(total).items():
            found = (self._counts[queue][f"{what}:{edge}"].get(name, 0) for edge in EDGES)
            buckets = list(zip(LE, accumulate(found), strict=True))
            family.add_metric((queue, name), buckets, number / units)
        return family

    def _crew(self) -> Iterator[Metric]:
        alive, lanes, busy = ({queue: 0 for queue in self._readable} for _ in range(3))
        for worker in self._workers:
            if worker.queue in alive:
                alive[worker.queue] += 1
                lanes[worker.queue] += worker.concurrency
                busy[worker.queue] += len(worker.doing)
        for name, doc, numbers in (
            ("workers", "Workers that have beaten in the last 5 s", alive),
            ("worker_lanes", "Tasks that these can run at once", lanes),
            ("worker_lanes_busy", "Tasks that these run", busy),
        ):
            yield _gauge(name, doc, {(q,): n for q, n in numbers.items()}, "queue")


def _gauge(name: str, doc: str, rows: Rows, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"miniqueue_{name}", doc, labels=labels)
    for values, number in rows.items():
        family.add_metric(values, number)
    return family


def _counter(name: str, doc: str, rows: Rows, *labels: str) -> Metric:
    family = CounterMetricFamily(f"miniqueue_{name}", doc, labels=labels)
    for values, number in rows.items():
        family.add_metric(values, number)
    return family
