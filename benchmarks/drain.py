"""Drain: no-op tasks a second out of a full queue, and the CPU time that a task costs.

    python benchmarks/drain.py --tasks 20000 --workers 1,2,4 --rounds 3
    python benchmarks/drain.py --quick                                   the short version

The queue is filled first, then the workers start; timed from the first task done to the last, each
of which appends its time to a file. miniqueue as it comes (results kept, events on, at least once)
beside the limit: a script call by hand for 64 tasks, which keeps a state, a result and a lease and
does nothing else (drivers/with_nothing.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import harness
from comparison.contenders import CONTENDERS
from comparison.environments import default_folder
from comparison.measures import Bench, GaveUp, drain
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

LIMIT = "limit-lua-64"
NAMES = ("miniqueue", LIMIT)
COLUMNS = {"tasks/s": "drain_1", "Redis us a task": "redis_us", "worker us a task": "worker_us"}
Found = dict[tuple[str, int], list[dict[str, float]]]


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    try:
        found = measure(args, console)
    except GaveUp as error:
        print(f"drain.py: {error}", file=sys.stderr)
        return 1
    console.print(table(found))
    told = {
        name: {str(n): figures(rounds) for (who, n), rounds in found.items() if who == name}
        for name in NAMES
    }
    for path in (
        harness.save(args.out, "drain", {"tasks": args.tasks, **told}),
        draw(found, args.out),
    ):
        console.print(f"wrote {path}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    harness.number(made, "--tasks", 64, 1_000_000, 20_000, "in the full queue")
    made.add_argument(
        "--workers",
        type=harness.wholes(1, 64),
        default=[1, 2],
        metavar="N,N",
        help="numbers of workers (default: 1,2)",
    )
    return harness.parsed(made, argv, "one round of 4000 tasks", tasks=4000)


def measure(args: argparse.Namespace, console: Console) -> Found:
    found: Found = {}
    with harness.server() as server:
        benches = {
            name: Bench(server, CONTENDERS[name], tasks=args.tasks, envs=default_folder())
            for name in NAMES
        }
        contenders = {f"{n}, {w} at work": (n, w) for w in args.workers for n in NAMES}
        for name, workers in harness.in_turn(contenders, args.rounds, console):
            found.setdefault((name, workers), []).append(drain(benches[name], workers))
    return found


def figures(rounds: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {title: harness.middle([r[key] for r in rounds]) for title, key in COLUMNS.items()}


def share(found: Found, workers: int) -> float:
    """How much of the limit miniqueue reaches: the ratio of the medians."""
    ours, limit = (figures(found[name, workers])["tasks/s"]["median"] for name in NAMES)
    return ours / limit


def table(found: Found) -> Table:
    shown = Table(title="no-op tasks: median (lowest to highest)")
    shown.add_column("workers", justify="right")
    shown.add_column("")
    for title in COLUMNS:
        shown.add_column(title, justify="right")
    for (name, workers), rounds in found.items():
        cells = [harness.spread([r[key] for r in rounds]) for key in COLUMNS.values()]
        if name == NAMES[0]:
            cells[0] += f"  {share(found, workers):.0%} of the limit"
        shown.add_row(str(workers), name, *cells)
    return shown


def draw(found: Found, out: Path) -> Path:
    """Bars by number of workers; whiskers from the lowest to the highest."""
    sizes = sorted({workers for _, workers in found})
    figure = Figure(figsize=(6.5, 4))
    axes = figure.subplots()
    for at, (name, colour) in enumerate(zip(NAMES, ("#d1495b", "#c8c8c8"), strict=True)):
        middles = [figures(found[name, n])["tasks/s"] for n in sizes]
        tops = [m["median"] for m in middles]
        below = [m["median"] - m["low"] for m in middles]
        above = [m["high"] - m["median"] for m in middles]
        places = [i + 0.4 * at - 0.2 for i in range(len(sizes))]
        bars = axes.bar(places, tops, 0.38, yerr=[below, above], color=colour, capsize=3)
        axes.bar_label(bars, [f"{top:,.0f}" for top in tops], padding=3, fontsize=8)
        bars.set_label("miniqueue" if name == NAMES[0] else "limit: Lua by hand, 64 tasks a call")
    axes.set_xticks(range(len(sizes)), [f"{n} worker{'s' * (n > 1)}" for n in sizes])
    axes.set_ylabel("no-op tasks a second")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(f"miniqueue drains at {share(found, sizes[0]):.0%} of what bare Redis would")
    axes.legend(frameon=False)
    axes.margins(y=0.15)
    figure.tight_layout()
    return harness.picture(figure, out, "drain")


if __name__ == "__main__":
    sys.exit(main())
