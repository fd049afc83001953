"""Evidence: all that is known of a run when it is over, put in order for the invariants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from miniqueue.classroom.chaos.history import History, Record
from miniqueue.classroom.chaos.load import Item
from miniqueue.settings import Settings
from miniqueue.task import Task
from miniqueue.views import Event, Mark

__all__ = ["Evidence", "Step"]

Span = tuple[float, float]
NEVER = float("inf")
START_S = 5.0  # a worker that has not come up by then should have


@dataclass(frozen=True, slots=True)
class Step:
    """What an event says of one task; `at` is on the history's clock."""

    at: float
    verb: str
    attempt: int
    worker: str
    state: str
    reason: str


@dataclass
class Evidence:
    """The history, and what the queue itself said at the end.

    `left`: keys at the end that neither belong to
    an empty queue nor have a TTL. `problems`: what Inspector.check() found. `waiting`: tasks that
    had not ended when the run gave up. `kept`: what Redis' settings mean for an accepted task.
    """

    history: History
    items: Mapping[str, Item]
    settings: Settings
    events: Sequence[Event] = ()
    tasks: Mapping[str, Task] = field(default_factory=dict)
    effects: Mapping[str, Sequence[int]] = field(default_factory=dict)
    fenced: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[str] = ()
    left: Sequence[str] = ()
    waiting: int = 0
    kept: str = ""

    # -- by key ----------------------------------------------------------------------------------

    @cached_property
    def accepted(self) -> dict[str, str]:
        """Task ids of the keys whose client was told so."""
        return {r.key: r.id for r in self.history.of("accepted")}

    @cached_property
    def sent(self) -> set[str]:
        """Keys that a client has sent, whatever it was told."""
        return {r.key for r in self.history.of("sent")}

    @cached_property
    def starts(self) -> dict[str, list[Record]]:
        """The starts of each key, in order."""
        return self._by_key("started")

    @cached_property
    def raised(self) -> set[tuple[str, int]]:
        """(key, attempt) of runs that ended in an exception, as they were asked to."""
        return {(r.key, r.attempt) for r in self.history.of("raised")}

    @cached_property
    def cancelled(self) -> dict[str, Record]:
        """The cancellations that a client was granted."""
        return {r.key: r for r in self.history.of("cancelled")}

    def _by_key(self, what: str) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = defaultdict(list)
        for record in self.history.of(what):
            found[record.key].append(record)
        return dict(found)

    # -- by task ---------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> dict[str, list[Step]]:
        """What the events say of each task id, in order."""
        found: dict[str, list[Step]] = defaultdict(list)
        for event in self.events:
            for mark in event.tasks:
                found[mark.task_id].append(self._step(event, mark))
        return dict(found)

    def _step(self, event: Event, mark: Mark) -> Step:
        at = self.history.seconds(event.at_ms)
        return Step(at, event.verb, mark.attempt, event.worker, event.state, event.reason)

    def task(self, key: str) -> Task | None:
        """The task of an accepted key, as it was at the end."""
        return self.tasks.get(self.accepted.get(key, ""))

    # -- what went wrong on purpose --------------------------------------------------------------

    @cached_property
    def outages(self) -> list[Span]:
        """When Redis was away or stood still."""
        return self._spans("down", "up")["redis"]

    @cached_property
    def frozen(self) -> dict[str, list[Span]]:
        """When each worker stood still."""
        return self._spans("frozen", "thawed")

    @cached_property
    def deaths(self) -> dict[str, float]:
        """When each worker was seen to be dead."""
        return {r.worker: r.at for r in self.history.of("died")}

    @cached_property
    def ready(self) -> dict[str, float]:
        """When each worker was at work: when it said so, or START_S after it was started."""
        told = {r.worker: r.at for r in self.history.of("ready")}
        late = {r.worker: r.at + START_S for r in self.history.of("hired")}
        return {worker: min(at, told.get(worker, NEVER)) for worker, at in late.items()}

    @cached_property
    def stalls(self) -> list[Span]:
        """When this machine itself stood still, as the run noticed by its own clock."""
        return [(r.at - float(r.note), r.at) for r in self.history.of("stall")]

    def _spans(self, begin: str, end: str) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = defaultdict(list)
        began: dict[str, float] = {}
        for record in self.history.of(begin, end):
            name = record.worker or "redis"
            if record.what == begin:
                began[name] = record.at
            elif name in began:
                found[name].append((began.pop(name), record.at))
        for name, at in began.items():
            found[name].append((at, NEVER))
        return found

    def unmanned_s(self, start: float, end: float, step: float = 0.05) -> float:
        """Seconds of a span in which no worker was at work."""
        count = int((end - start) / step)
        return step * sum(not self._manned(start + i * step) for i in range(count))

    def _manned(self, at: float) -> bool:
        return any(
            ready <= at < self.deaths.get(worker, NEVER)
            and not covered(self.frozen.get(worker, []), at, at)
            for worker, ready in self.ready.items()
        )


def overlap_s(spans: Sequence[Span], start: float, end: float) -> float:
    """Seconds of start..end that lie in the spans.

    >>> overlap_s([(0, 2), (5, 9)], 1, 6)
    2
    """
    return sum(max(0, min(end, b) - max(start, a)) for a, b in spans)


def covered(spans: Sequence[Span], start: float, end: float) -> bool:
    """Whether any of the spans touches start..end."""
    return any(a <= end and b >= start for a, b in spans)
