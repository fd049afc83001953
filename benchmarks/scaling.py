"""Throughput as workers scale: medians with their spread, as a table, JSON, CSV and PNG.

    python benchmarks/scaling.py --workers 1,2,4,8 --workload sleep,cpu,words --repeats 3

Starts a stack of its own (Redis, API, workers), sends every workload through HTTP at every size,
and times from the moment the paused queue is resumed to the end of the last task, by Redis' clock.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
from rich.console import Console
from rich.table import Table

from miniqueue.classroom.demo import WORDS, draw
from miniqueue.classroom.measure import (
    Point,
    Workload,
    computing,
    counting_words,
    empty,
    fit_amdahl,
    fit_usl,
    library_files,
    medians,
    scaling,
    sleeping,
)
from miniqueue.classroom.stack import Stack
from miniqueue.errors import MiniQueueError

WORKLOADS: dict[str, Callable[[int], Workload]] = {
    "sleep": lambda tasks: sleeping(20, tasks),
    "cpu": lambda tasks: computing(20, tasks),
    "empty": lambda tasks: empty(100 * tasks),
    "words": lambda tasks: counting_words(library_files()),
}


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    workloads = [WORKLOADS[name](args.tasks) for name in args.workload]
    points: list[Point] = []
    try:
        with (
            Stack(args.workers[0], imports=[WORDS]) as stack,
            harness.bars(console, 28) as progress,
        ):
            bar = progress.add_task("", total=None)

            def report(name: str, workers: int, done: int, count: int) -> None:
                words = f"{name}, {workers} worker{'' if workers == 1 else 's'}"
                progress.update(bar, description=words, completed=done, total=count)

            for point in scaling(
                stack, workloads, args.workers, repeats=args.repeats, on_progress=report
            ):
                points.append(point)
            problems = stack.inspector.check()
    except MiniQueueError as error:
        print(f"scaling.py: {error}", file=sys.stderr)
        return 1
    if problems:
        print(f"scaling.py: the queue is not in order: {problems[0]}", file=sys.stderr)
        return 1
    console.print(table(points))
    for path in write(points, args.out):
        console.print(f"wrote {path}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=sizes, default=[1, 2, 4, 8], help="e.g. 1,2,4,8")
    parser.add_argument(
        "--workload",
        type=names,
        default=["sleep", "cpu", "words"],
        help=f"one or more of {','.join(WORKLOADS)} (default: sleep,cpu,words)",
    )
    parser.add_argument(
        "--tasks",
        type=positive,
        default=60,
        help="tasks a worker (sleep), in all (cpu), in hundreds (empty); default 60",
    )
    parser.add_argument("--repeats", type=positive, default=3, help="rounds at each size (3)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files (out)")
    return parser.parse_args(argv)


def sizes(text: str) -> list[int]:
    return [positive(word) for word in text.split(",")]


def positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"{text}: say a number of at least 1")
    return number


def names(text: str) -> list[str]:
    found = text.split(",")
    for name in found:
        if name not in WORKLOADS:
            raise argparse.ArgumentTypeError(f"{name!r}: say one of {', '.join(WORKLOADS)}")
    return found


def table(points: Sequence[Point]) -> Table:
    shown = Table(title="tasks a second: median (lowest to highest)")
    shown.add_column("workers", justify="right")
    series = {p.workload: medians(points, p.workload) for p in points}
    for name in series:
        shown.add_column(name, justify="right")
    for workers in dict.fromkeys(p.workers for p in points):
        cells = []
        for rates in series.values():
            middle, low, high = rates[workers]
            gain = middle / rates[min(rates)][0]
            cells.append(f"{middle:,.0f} ({low:,.0f} to {high:,.0f}) {gain:.2f}x")
        shown.add_row(str(workers), *cells)
    return shown


def write(points: Sequence[Point], out: Path) -> list[Path]:
    """scaling.json (with the machine and the fits), scaling.csv and scaling.png."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "scaling.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["workload", "workers", "tasks", "seconds", "tasks_per_s"])
        for p in points:
            rows.writerow((p.workload, p.workers, p.count, p.seconds, round(p.rate, 3)))
    workloads = dict.fromkeys(p.workload for p in points)
    told = {
        "rates": {name: rates(points, name) for name in workloads},
        "fits": {name: fits(points, name) for name in workloads},
        "points": [asdict(point) | {"tasks_per_s": round(point.rate, 3)} for point in points],
    }
    saved = harness.save(out, "scaling", told)
    return [out / "scaling.csv", saved, draw(points, out / "scaling.png")]


def rates(points: Sequence[Point], workload: str) -> dict[str, dict[str, float]]:
    """By number of workers: tasks a second, and how many times those of the fewest workers."""
    found = medians(points, workload)
    first = found[min(found)][0]
    return {
        str(workers): {"median": m, "low": low, "high": high, "gain": m / first}
        for workers, (m, low, high) in found.items()
    }


def fits(points: Sequence[Point], workload: str) -> dict[str, Any]:
    rates = medians(points, workload)
    if len(rates) < 3:
        return {}
    workers, middle = list(rates), [median for median, _, _ in rates.values()]
    return {
        law.__name__.removeprefix("fit_"): dict(law(workers, middle).parameters)
        for law in (fit_amdahl, fit_usl)
    }


if __name__ == "__main__":
    sys.exit(main())
