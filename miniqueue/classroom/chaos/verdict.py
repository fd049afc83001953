"""Verdict: Jepsen's counts, and which invariants were broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from miniqueue.classroom.chaos.evidence import Evidence
from miniqueue.classroom.chaos.invariants import INVARIANTS, Violation, recoveries

__all__ = ["Guarantee", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What one setting of the dial came to: tasks accepted, not run to their effect, and effects
    that came twice.
    """

    name: str
    accepted: int
    undone: int
    twice: int


@dataclass(frozen=True)
class Verdict:
    """The counts are of tasks (keys), `duplicated` of starts beyond the first of a task."""

    attempted: int
    acknowledged: int
    ok: int
    lost: int
    unexpected: int
    duplicated: int
    unexplained: int
    recovered: int
    fenced: int
    recovery_s: Sequence[float]
    guarantees: Sequence[Guarantee]
    violations: Sequence[Violation]
    evidence: Evidence

    @property
    def valid(self) -> bool:
        """Whether every invariant held."""
        return not self.violations

    def broken(self) -> list[str]:
        """The names of the invariants that did not hold, in their order."""
        return list(dict.fromkeys(v.invariant for v in self.violations))


def judge(evidence: Evidence) -> Verdict:
    """Check every invariant."""
    violations = [
        Violation(name, *found)
        for name, invariant in INVARIANTS.items()
        for found in invariant(evidence)
    ]
    by_name = [v.invariant for v in violations]
    accepted, effects = set(evidence.accepted), set(evidence.effects)
    starts = sum(len(runs) - 1 for runs in evidence.starts.values())
    return Verdict(
        attempted=len(evidence.sent),
        acknowledged=len(accepted),
        ok=len(effects & evidence.sent),
        lost=by_name.count("nothing lost"),
        unexpected=by_name.count("nothing unexpected"),
        duplicated=starts,
        unexplained=by_name.count("second starts are explained"),
        recovered=len((effects & evidence.sent) - accepted),
        fenced=len(evidence.fenced),
        recovery_s=recoveries(evidence),
        guarantees=_guarantees(evidence),
        violations=violations,
        evidence=evidence,
    )


def _guarantees(e: Evidence) -> list[Guarantee]:
    """Only tasks whose effect is to be: not those told to fail, cancelled, or after such a one."""
    wanted = [
        key
        for key in e.accepted
        if e.items[key].job not in ("doomed", "poison")
        and key not in e.cancelled
        and ((task := e.task(key)) is None or (task.error or {}).get("type") != "ParentFailed")
    ]
    before = [key for key in wanted if e.items[key].job == "once"]
    after = [key for key in wanted if e.items[key].job != "once"]

    def count(name: str, keys: list[str]) -> Guarantee:
        undone = sum(key not in e.effects for key in keys)
        twice = sum(len(e.effects.get(key, ())) > 1 for key in keys)
        return Guarantee(name, len(keys), undone, twice)

    # The fenced sink keeps one row a key, whatever wrote to it.
    missing = sum(key not in e.fenced for key in after)
    return [
        count("ack before", before),
        count("ack after", after),
        Guarantee("after + fenced sink", len(after), missing, 0),
    ]
