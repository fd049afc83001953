"""`miniqueue demo`: the whole system at 1, 2, 4 and 8 workers, checked, timed and charted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from miniqueue.classroom import charts
from miniqueue.classroom.measure import (
    Point,
    Workload,
    computing,
    counting_words,
    fit_amdahl,
    fit_usl,
    library_files,
    measure,
    medians,
    sleeping,
)
from miniqueue.classroom.stack import Stack
from miniqueue.classroom.words import count_words
from miniqueue.errors import StackError

__all__ = ["demo"]

SIZES = (1, 2, 4, 8)
WORDS = "miniqueue.classroom.words"


def demo(out: str = "out") -> int:
    """Run it, show it, draw it to OUT/scaling.png. Raises StackError if anything is off."""
    console = Console()
    files = library_files()
    console.print(
        f"A real queue: Redis, an HTTP API and {', '.join(map(str, SIZES))} workers in turn. "
        f"Work: sleeping, computing, and counting the words of {len(files):,} files of "
        "Python's standard library."
    )
    expected, sequential_s = _sequential(files)
    console.print(f"Counted without a queue: {sequential_s:.1f} s. Now with it:")
    workloads = [sleeping(20, 60), computing(20, 80), counting_words(files)]
    with Stack(SIZES[0], imports=[WORDS]) as stack:
        points = _run(stack, workloads, expected, console)
        problems = stack.inspector.check()
    if problems:
        raise StackError(f"after the run {problems[0]}")
    words = sum(expected.values())
    console.print(
        f"{words:,} words, each time equal to the count without a queue, to the last word."
    )
    console.print(f"Chart: {draw(points, Path(out) / 'scaling.png')}")
    console.print("Everything is stopped.")
    return 0


def draw(points: Sequence[Point], path: Path) -> Path:
    """Throughput against workers, with the fits, as a PNG."""
    series = {p.workload: medians(points, p.workload) for p in points}
    fits = {}
    for name, rates in series.items():
        sizes, middle = list(rates), [median for median, _, _ in rates.values()]
        if len(sizes) >= 3:
            fits[name] = [fit_amdahl(sizes, middle), fit_usl(sizes, middle)]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = charts.throughput(
        series,
        fits=fits,
        title="Throughput as workers scale",
        caption="Waiting scales with the workers; computing stops where the cores end.",
    )
    figure.savefig(path, dpi=150)
    return path.resolve()


def _sequential(files: Sequence[str]) -> tuple[Counter[str], float]:
    began = time.perf_counter()
    total: Counter[str] = Counter()
    for path in files:
        total.update(count_words(path))
    return total, time.perf_counter() - began


def _run(
    stack: Stack, workloads: Sequence[Workload], expected: Counter[str], console: Console
) -> list[Point]:
    points: list[Point] = []
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console
    )
    with Live(console=console, refresh_per_second=8) as live:
        for size in SIZES:
            bar = progress.add_task(f"starting {size} workers", total=None)
            live.update(Group(_table(points), progress))
            stack.scale(size)
            for workload in workloads:
                progress.update(bar, description=f"{workload.name}, {size} workers", completed=0)
                point, ids = measure(stack, workload, _bar(progress, bar))
                points.append(point)
                if workload.name == "count words":
                    _compare(stack, set(ids), expected)
                live.update(Group(_table(points), progress))
            progress.remove_task(bar)
        live.update(_table(points))
    if not console.is_terminal:
        console.print()
    return points


def _bar(progress: Progress, bar: object) -> Callable[[int, int], None]:
    def report(done: int, count: int) -> None:
        progress.update(bar, completed=done, total=count)  # type: ignore[arg-type]

    return report


def _compare(stack: Stack, ids: set[str], expected: Counter[str]) -> None:
    """Merge the results of the tasks and compare them with the sequential count."""
    total: Counter[str] = Counter()
    left, cursor = set(ids), None
    query: dict[str, str | int] = {"state": "succeeded", "name": "count_words", "limit": 200}
    while left:
        page = stack.http.get("/tasks", params=query).raise_for_status().json()
        for task in page["tasks"]:
            if task["task_id"] in left:
                left.remove(task["task_id"])
                total.update(task["result"])
        cursor = page["cursor"]
        if cursor is None and left:
            raise StackError(f"{len(left)} of {len(ids)} results are missing")
        query["cursor"] = cursor or ""
    if total != expected:
        raise StackError("the words counted by the workers are not those counted without a queue")


def _table(points: Sequence[Point]) -> Table:
    names = list(dict.fromkeys(p.workload for p in points))
    table = Table(title="tasks a second (gain over one worker)")
    table.add_column("workers", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    rates = {(p.workload, p.workers): p.rate for p in points}
    for size in dict.fromkeys(p.workers for p in points):
        row = [rates.get((name, size)) for name in names]
        gains = [
            "" if rate is None else f"{rate:,.0f} ({rate / rates[name, SIZES[0]]:.1f}x)"
            for name, rate in zip(names, row, strict=True)
        ]
        table.add_row(str(size), *gains)
    return table
