"""Failure: a schedule that breaks an invariant, as data, as text, as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniqueue.classroom.explorer.clock import START_MS
from miniqueue.classroom.explorer.telling import answer
from miniqueue.classroom.explorer.verdicts import Violation
from miniqueue.classroom.explorer.world import Taken

if TYPE_CHECKING:
    from miniqueue.classroom.charts import Chart

__all__ = ["Failure", "Step", "failure_of"]


@dataclass(frozen=True)
class Step:
    """One step of a schedule. `kind` is call, pause, sleep, crash or clock; `at_ms` counts from the
    beginning; `in_recovery` is said of the healthy worker that comes when the schedule is over."""

    who: str
    kind: str
    what: str
    reply: str
    at_ms: int
    in_recovery: bool = False

    @property
    def told(self) -> str:
        """What was done, and the reply."""
        return f"{self.what}  ->  {self.reply}" if self.reply else self.what

    def __str__(self) -> str:
        return f"{self.who} {self.told}"


@dataclass(frozen=True)
class Failure:
    """The shortest schedule that was found for a broken invariant.

    `invariant` is its name, `sentence` what should hold, `wrong` what is the case.
    """

    scenario: str
    invariant: str
    sentence: str
    wrong: str
    steps: tuple[Step, ...]
    shortest: bool = True  # no schedule within the bounds is shorter

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<Failure {self.invariant!r} in {len(self.steps)} steps: {self.wrong}>"

    def text(self) -> str:
        """The schedule, a step a line, and what is wrong."""
        width = max((len(step.who) for step in self.steps), default=0)
        lines = [f"{self.scenario}: {self.invariant} is broken"]
        number = 0
        for line, same in itertools.groupby(f"{s.who:<{width}}  {s.told}" for s in self.steps):
            times = len(list(same))
            lines.append(f"{number + 1:3}. {line}" + (f"  ({times} times)" if times > 1 else ""))
            number += times
        return "\n".join([*lines, f"It should hold that {self.sentence}.", f"But {self.wrong}."])

    def diagram(self) -> Chart:
        """A sequence diagram: a line for each process, time runs down."""
        from miniqueue.classroom.explorer.diagram import draw

        return draw(self)


def failure_of(
    scenario: str,
    broken: Violation,
    schedule: Sequence[Taken],
    recovery: Sequence[Taken],
    *,
    shortest: bool,
) -> Failure:
    """A Failure of what the walk found."""
    steps = [_step(taken, False) for taken in schedule] + [_step(taken, True) for taken in recovery]
    return Failure(scenario, broken.name, broken.sentence, broken.wrong, tuple(steps), shortest)


def _step(taken: Taken, in_recovery: bool) -> Step:
    who, request, reply, now_ms = taken
    replied = answer(reply.value) if request.kind == "call" else ""
    return Step(who, request.kind, request.label, replied, now_ms - START_MS, in_recovery)
