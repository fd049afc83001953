"""Report: chaos runs in a terminal, while they go on and when they are over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from miniqueue.classroom.chaos.control import SketchChaos
from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.invariants import INVARIANTS, Violation
from miniqueue.classroom.chaos.run import DEFAULT_FAULTS, SIZES, Chaos
from miniqueue.classroom.chaos.verdict import Verdict
from miniqueue.errors import ConfigError

__all__ = ["Report", "chaos", "timeline"]

SKETCH = "sketch"
SHOWN = 3  # broken tasks whose timelines are printed
LINES = 40  # of a timeline


@dataclass(frozen=True, slots=True)
class Command:
    """The words of `miniqueue chaos` that repeat a run."""

    size: str
    faults: Sequence[str]
    persistence: str
    plant: str

    def __str__(self) -> str:
        words = [f"miniqueue chaos --size {self.size}"]
        words += [f"--fault {name}" for name in self.faults]
        words += [f"--persistence {self.persistence}"] if self.persistence != "always" else []
        words += [f"--plant {self.plant}"] if self.plant else []
        return " ".join(words)


class Report:
    """Shows runs one after another, and their sum."""

    def __init__(self, command: Command) -> None:
        self._console = Console(highlight=False)
        self._command = command
        self._verdicts: list[Verdict] = []

    def show(self, run: Chaos) -> bool:
        """Run it; gives whether it was valid."""
        console, again = self._console, f"{self._command} --seed {run.seed}"
        console.print(f"[bold]{again}[/]")
        with Live(console=console, refresh_per_second=4) as live:
            verdict = run.run(lambda history, faults: live.update(_progress(history, faults)))
            live.update(Group(_counts(verdict), _held(verdict)))
        self._verdicts.append(verdict)
        if not console.is_terminal:
            console.print()
        console.print(f"Redis: {verdict.evidence.kept or '(not asked)'}")
        if verdict.valid:
            console.print(f"Valid: all {len(INVARIANTS)} invariants held.")
            return True
        self._tell(verdict)
        console.print(f"\nINVALID: {', '.join(verdict.broken())}.")
        if not run.keeps:
            console.print("Loss was to be expected: this Redis was made to forget.")
        console.print(f"History: {verdict.evidence.history.path}\nAgain: {again}")
        return False

    def sum_up(self) -> None:
        """What all runs come to together."""
        accepted = sum(v.acknowledged for v in self._verdicts)
        lost = sum(v.lost for v in self._verdicts)
        told = f"{len(self._verdicts)} runs: {accepted:,} accepted, {lost} lost"
        if lost == 0 and accepted:
            told += f"; the chance to lose one is below {3 / accepted:.1e} (95 %, rule of three)"
        self._console.print(told)

    def _tell(self, verdict: Verdict) -> None:
        for told in _by_task(verdict)[:SHOWN]:
            self._console.print()
            for violation in told[:SHOWN]:
                self._console.print(f"{violation.invariant}: {violation.sentence}", markup=False)
            for line in timeline(verdict, told[0])[:LINES]:
                self._console.print(f"  {line}", markup=False)


def timeline(verdict: Verdict, violation: Violation) -> list[str]:
    """What observers and events tell of the task of a violation, in order."""
    e = verdict.evidence
    keys = {key for key, task_id in e.accepted.items() if task_id == violation.task_id}
    keys |= {violation.key} - {""}
    ids = ({violation.task_id} | {e.accepted.get(key, "") for key in keys}) - {""}
    told = [(r.at, str(r)) for r in e.history.records if r.key in keys and r.key]
    for task_id in ids:
        for s in e.steps.get(task_id, ()):
            words = f"{s.verb} of attempt {s.attempt}  {s.worker}  {s.state}  {s.reason}"
            told.append((s.at, f"{s.at:8.3f} s  event: {words.rstrip()}"))
    workers = {r.worker for r in e.history.records if r.key in keys and r.worker}
    faults = e.history.of("frozen", "thawed", "died", "down", "up")
    near = [r for r in faults if not r.worker or r.worker in workers] if told else []
    first, last = min(told)[0] if told else 0, max(told)[0] if told else 0
    told += [(r.at, str(r)) for r in near if first <= r.at <= last]
    return [line for _, line in sorted(told)]


def _by_task(verdict: Verdict) -> list[list[Violation]]:
    """The violations of each task together, the task with most of them first."""
    accepted = verdict.evidence.accepted
    found: dict[str, list[Violation]] = {}
    for violation in verdict.violations:
        task_id = violation.task_id or accepted.get(violation.key, violation.key)
        found.setdefault(task_id, []).append(violation)
    return sorted(
        found.values(), key=lambda told: (not (told[0].key or told[0].task_id), -len(told))
    )


def _progress(history: History, faults: int) -> Text:
    count = history.count
    return Text(
        f"{history.now():5.1f} s   sent {count('sent'):,}   accepted {count('accepted'):,}   "
        f"effects {count('effect'):,}   faults {faults}   workers lost {count('died')}"
    )


def _counts(v: Verdict) -> RenderableType:
    explained = v.duplicated - v.unexplained
    rows: dict[str, object] = {
        "attempted": v.attempted,
        "acknowledged": v.acknowledged,
        "ok": v.ok,
        "lost": v.lost,
        "unexpected": v.unexpected,
        "duplicated, explained": explained,
        "duplicated, unexplained": v.unexplained,
        "recovered": v.recovered,
        "effects at the fenced sink": v.fenced,
    }
    if len(v.recovery_s) > 1:
        cuts = quantiles(v.recovery_s, n=100, method="inclusive")
        rows["recovery p50 / p99"] = f"{cuts[49]:.2f} / {cuts[98]:.2f} s"
    table = Table("tasks", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in rows.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    dial = Table("guarantee", "accepted", "not done", "done twice", box=None, pad_edge=False)
    for column in dial.columns[1:]:
        column.justify = "right"
    for g in v.guarantees:
        dial.add_row(g.name, f"{g.accepted:,}", f"{g.undone:,}", f"{g.twice:,}")
    return Group(table, Text(), dial)


def _held(v: Verdict) -> RenderableType:
    count = Counter(violation.invariant for violation in v.violations)
    table = Table("invariant", "", box=None, pad_edge=False)
    for name in INVARIANTS:
        table.add_row(name, f"BROKEN, {count[name]} times" if count[name] else "held")
    return Group(Text(), table)


def chaos(
    size: str = "smoke",
    *,
    seed: int | None = None,
    faults: Sequence[str] = (),
    persistence: str = "always",
    plant: str = "",
    out: str = "out",
) -> int:
    """`miniqueue chaos`: run it, show it; 0 where every invariant held, else 1.

    Raises ConfigError for a word that does not exist, StackError where the system does not start.
    """
    if size not in SIZES:
        raise ConfigError(f"size {size!r}: say one of {', '.join(SIZES)}")
    report = Report(Command(size, faults, persistence, plant))
    first = int.from_bytes(os.urandom(2)) if seed is None else seed
    seeds = range(first, first + SIZES[size].seeds)
    kind = SketchChaos if plant == SKETCH else Chaos
    runs = [
        kind(
            SIZES[size], number, faults or DEFAULT_FAULTS, persistence,
            "" if plant == SKETCH else plant, Path(out),
        )
        for number in seeds
    ]  # fmt: skip
    valid = [report.show(run) for run in runs]
    if len(runs) > 1:
        report.sum_up()
    return 0 if all(valid) else 1
