"""Verdicts: what programs have told, and what the invariants say of a step or of an end.

An invariant is asked once about equal moments: both the logs and the answers are remembered.
"""

from __future__ import annotations

from typing import NamedTuple

from miniqueue.classroom.explorer.process import Record
from miniqueue.classroom.explorer.scenario import Scenario, View
from miniqueue.classroom.explorer.store import Store

__all__ = ["Moment", "Verdicts", "Violation", "endless", "raised"]

Moment = tuple[int, int, int]  # the numbers of a state and of a log, with the time between them
Records = tuple[Record, ...]


class Violation(NamedTuple):
    """An invariant's name, its sentence, and what is wrong."""

    name: str
    sentence: str
    wrong: str


class Verdicts:
    """The invariants of a scenario, and the logs by number."""

    def __init__(self, scenario: Scenario, store: Store) -> None:
        self._scenario = scenario
        self._store = store
        self._logs: list[dict[Record, int]] = [{}]
        self._numbers: dict[frozenset[tuple[Record, int]], int] = {frozenset(): 0}
        self._checked: dict[tuple[Moment, Moment, Records], Violation | None] = {}

    def told(self, log: int, records: Records, now_ms: int) -> int:
        """The log with more records in it."""
        if not records:
            return log
        counts = self._scenario.fold(self._logs[log], records, now_ms)
        key = frozenset(counts.items())
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._logs)
            self._logs.append(counts)
        return number

    def after_step(self, before: Moment, moment: Moment, new: Records) -> Violation | None:
        """The first invariant that a step breaks."""
        if before[0] == moment[0] and not new:
            return None
        key = (before, moment, new)
        if key not in self._checked:
            self._checked[key] = self._look(before, moment, new, at_end=False)
        return self._checked[key]

    def at_end(self, before: Moment, moment: Moment) -> Violation | None:
        """The first invariant of the end that is broken; `before` the recovery, and after it."""
        return self._look(before, moment, (), at_end=True)

    def _look(
        self, before: Moment, moment: Moment, new: Records, *, at_end: bool
    ) -> Violation | None:
        state, now_ms, log = moment
        view = View(
            before=self._store.snapshot(before[0]).data,
            data=self._store.snapshot(state).data,
            log=self._logs[log],
            log_before=self._logs[before[2]],
            new=new,
            now_ms=now_ms,
            reader=lambda: self._store.reader(state, now_ms),
        )
        for invariant in self._scenario.invariants:
            if invariant.at_end == at_end and (wrong := invariant.check(view)):
                return Violation(invariant.name, invariant.sentence, wrong)
        return None


def raised(who: str, error: str) -> Violation:
    """A program that raises."""
    return Violation("no-exception", "no program raises", f"{who} raised {error}")


def endless(who: str, steps: int) -> Violation:
    """A program that takes too many steps."""
    return Violation("program-ends", "every program ends", f"{who} goes on after {steps} steps")
