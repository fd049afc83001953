"""Scenario: what is explored, and what must hold.

    Scenario("mine", setup=fill, actors={"w1": program, "w2": program}, invariants=[...])

`of_worker()` makes one of a function `worker(redis, run)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from miniqueue.classroom.explorer.process import Actor, Program, Record

__all__ = ["Invariant", "Scenario", "View", "nothing_lost", "of_worker"]


@dataclass(frozen=True)
class View:
    """What an invariant may look at, after a step or at the end.

    `data` is what Redis holds: key -> str, list, dict, set, or (member, score) pairs. `before` is
    the same before the step. `log` counts what programs have told, `log_before` is the same before
    the step, `new` is what they told in it; an entry of a stream among the scenario's `unread` keys
    is told as its fields and values.
    """

    before: Mapping[str, Any]
    data: Mapping[str, Any]
    log: Mapping[Record, int]
    log_before: Mapping[Record, int]
    new: Sequence[Record]
    now_ms: int
    reader: Callable[[], Any]  # gives a redis-py client on this state

    @property
    def redis(self) -> Any:
        """A client that reads this state."""
        return self.reader()

    def count(self, *words: Any) -> int:
        """How often a record that begins with these words was told: count("effect", "a")."""
        size = len(words)
        return sum(n for record, n in self.log.items() if record[:size] == words)


@dataclass(frozen=True)
class Invariant:
    """A sentence that must be true, after every step or (`at_end`) when all is over.

    `check` gives None, or what is wrong.
    """

    name: str
    sentence: str
    check: Callable[[View], str | None]
    at_end: bool = False


def counted(log: Mapping[Record, int], new: Sequence[Record], now_ms: int) -> dict[Record, int]:
    """The log with more records in it."""
    counts = dict(log)
    for record in new:
        counts[record] = counts.get(record, 0) + 1
    return counts


@dataclass(frozen=True)
class Scenario:
    """What is explored.

    `setup(redis)` fills Redis. `actors` are processes: a name and a program(actor), which ends.
    `recover` is run alone when a schedule is over, as a healthy worker that comes later (it may
    come in the place of one that has not begun); the invariants at the end look after it. `clocks`
    are sorted sets whose scores are times (s or ms): with times to live, sleeps and timeouts they
    are the moments to which the clock may jump, those within `horizon_s`. `unread` are keys that no
    program reads. `code` are functions in whose modules time and chance become virtual, besides
    those of miniqueue. `fold(log, new, now_ms)` says how records enter the log; the less of the
    past it keeps, the more moments are alike. `still` are modules whose clocks stand still.
    """

    name: str
    setup: Callable[[Any], object]
    actors: Mapping[str, Program]
    invariants: Sequence[Invariant]
    recover: Program | None = None
    clocks: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    code: tuple[Callable[..., Any], ...] = ()
    horizon_s: float = 600.0
    most_steps: int = 100  # of one process: one that takes more is cut off, and told of
    replace: tuple[tuple[Any, Any], ...] = field(default=(), repr=False)  # more to make virtual
    fold: Callable[[Mapping[Record, int], Sequence[Record], int], dict[Record, int]] = counted
    still: tuple[str, ...] = ()


def nothing_lost(tasks: Sequence[str]) -> Invariant:
    """Each task has had its effect, in the end."""

    def check(view: View) -> str | None:
        lost = [task for task in tasks if not view.count("effect", task)]
        return f"task {lost[0]} was accepted and has never run to its end" if lost else None

    return Invariant("nothing-lost", "every accepted task runs to its end", check, at_end=True)


def of_worker(
    worker: Callable[[Any, Callable[[str], str]], object],
    *,
    setup: Callable[[Any], object] | None = None,
    workers: int = 2,
    tasks: Sequence[str] = ("a", "b"),
    **more: Any,
) -> Scenario:
    """A scenario of a function worker(redis, run), which must end when there is nothing to do.

    Without `setup` the tasks wait in the list `queue`. The invariant is nothing_lost(tasks), unless
    `invariants` are given; `more` are the other fields of Scenario. When all is over, one more
    worker runs, after every lease and time to live has run out.
    """

    def program(actor: Actor) -> None:
        worker(actor.redis, actor.run)

    def recover(actor: Actor) -> None:
        actor.pass_deadlines()
        program(actor)

    def fill(redis: Any) -> None:
        redis.rpush("queue", *tasks)

    settings: dict[str, Any] = {
        "name": getattr(worker, "__name__", "worker"),
        "invariants": [nothing_lost(tasks)],
        "recover": recover,
        "code": (worker,),
        **more,
    }
    actors = {f"w{n}": program for n in range(1, workers + 1)}
    return Scenario(setup=setup or fill, actors=actors, **settings)
