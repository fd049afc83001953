"""What each guarantee comes to under each fault: the matrix in docs/reliability.md.

A row is a chaos run with one fault (and how Redis keeps its data), half of its tasks with
ack="before", half with ack="after". The columns count, of the tasks that were accepted, those whose
effect never came and those whose effect came twice; at the fenced sink a second effect of a task
replaces the first, or is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from miniqueue.classroom.chaos.load import DIAL
from miniqueue.classroom.chaos.run import Chaos, Size
from miniqueue.classroom.chaos.verdict import Verdict

SIZE = Size(900, 12.0, workers=4, lease_s=1.0, poison=0, long=0.0, drain_s=20, mix=DIAL)


@dataclass(frozen=True)
class Row:
    """A fault, and how Redis keeps its data."""

    name: str
    faults: tuple[str, ...]
    persistence: str = "always"


ROWS = (
    Row("none", ()),
    Row("a worker is killed in a task", ("failpoints:task",)),
    Row("... after its effect, before its end is told", ("failpoints:effect",)),
    Row("... at any time", ("kill",)),
    Row("a worker stands still for longer than its lease", ("freeze",)),
    Row("a worker is stopped (SIGTERM)", ("stop",)),
    Row("the API dies before it answers", ("api",)),
    Row("Redis stands still", ("pause",)),
    Row("Redis is killed, appendonly no", ("restart",), "none"),
    Row("Redis is killed, appendfsync everysec", ("restart",), "everysec"),
    Row("Redis is killed, appendfsync always", ("restart",), "always"),
    Row("power cut, appendfsync everysec", ("power",), "everysec"),
    Row("power cut, appendfsync always", ("power",), "always"),
    Row("Redis is full and evicts", ("eviction",)),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="WORD", default="", help="rows that contain this word")
    parser.add_argument("--tasks", type=int, default=SIZE.tasks, help="a row (default: 900)")
    parser.add_argument("--seconds", type=float, default=SIZE.seconds, help="a row (default: 12)")
    parser.add_argument("--out", default="out", help="folder for guarantees.json (default: out)")
    args = parser.parse_args(argv)
    console, found = Console(), []
    out = Path(args.out)
    for row in ROWS:
        if args.only in row.name:
            console.print(f"{row.name} ...", end="\r")
            size = replace(SIZE, tasks=args.tasks, seconds=args.seconds)
            verdict = Chaos(size, args.seed, row.faults, row.persistence, folder=out).run()
            found.append(_line(row, verdict))
    (out / "guarantees.json").write_text(json.dumps(found, indent=1) + "\n")
    console.print(_table(found))
    print(markdown(found))
    return 0


def _line(row: Row, verdict: Verdict) -> dict[str, object]:
    cells = {g.name: [g.accepted, g.undone, g.twice] for g in verdict.guarantees}
    return {"fault": row.name, **cells, "lost": verdict.lost, "broken": verdict.broken()}


def _table(found: list[dict[str, object]]) -> Table:
    table = Table(title="accepted / not done / done twice")
    names = [name for name in found[0] if name not in ("lost", "broken")] if found else []
    for name in [*names, "lost"]:
        table.add_column(name, justify="left" if name == "fault" else "right")
    for line in found:
        table.add_row(*(_cell(line[name]) for name in [*names, "lost"]))
    return table


def _cell(value: object) -> str:
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown(found: list[dict[str, object]]) -> str:
    """The table of docs/reliability.md."""
    names = ["ack before", "ack after", "after + fenced sink"]
    lines = ["| fault | " + " | ".join(names) + " |", "|---|---|---|---|"]
    for line in found:
        lines.append(f"| {line['fault']} | " + " | ".join(_cell(line[n]) for n in names) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
