"""Limits: how fast bare Redis hands tasks out and takes them in, by hand, and miniqueue beside it.

    python benchmarks/limits.py --tasks 5000 --rounds 3
    python benchmarks/limits.py --quick                      the short version

The least that a queue with leases and results can do (drivers/with_nothing.py: no retries, no
events, no expiry, and nobody looks for leases that have run out), in six round trips a task, three
pipelines a task, one Lua call for a task, for 8 and for 64; sent in pipelines of 1, 100 and 1000.
All is measured as peers.py does (comparison/measures.py): a queue is filled, then one worker starts
or two; tasks a second from the first done to the last. Writes limits.json and limits.png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from comparison.contenders import CONTENDERS
from comparison.environments import default_folder
from comparison.measures import Bench, GaveUp, take
from comparison.report import COLOURS, OURS, Row, number, told_of
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich import box
from rich.console import Console
from rich.table import Table

PREFIX = "limit-"
LIMIT = "limit-lua-64"
# Of each contender the drain; of some what they send too. A limit's `enqueue` is a pipeline of 1.
ALSO = {"limit-lua-8": {"bulk"}, LIMIT: {"enqueue", "bulk"}, OURS: {"enqueue", "bulk"}}
DRAINS = {"drain_1": "1 worker", "drain_2": "2 workers"}


@dataclass(frozen=True, slots=True)
class Sending:
    """A way to send: which contender's figure it is, and of which one it is a part."""

    what: str
    name: str
    figure: str
    limit: tuple[str, str]


ONE, HUNDRED, THOUSAND = (LIMIT, "enqueue"), ("limit-lua-8", "bulk"), (LIMIT, "bulk")
SENDINGS = (
    Sending("bare Redis, pipelines of 1", *ONE, ONE),
    Sending("bare Redis, pipelines of 100", *HUNDRED, HUNDRED),
    Sending("bare Redis, pipelines of 1000", *THOUSAND, THOUSAND),
    Sending("miniqueue, enqueue()", OURS, "enqueue", ONE),
    Sending("miniqueue, enqueue_many() of 1000", OURS, "bulk", THOUSAND),
)

Rows = dict[str, Row]


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    with harness.server() as server:
        try:
            rows = measure(server, args, console)
        except GaveUp as problem:
            raise SystemExit(f"limits.py: {problem}") from None
    console.print(drain_table(rows))
    console.print(sending_table(rows))
    for line in remarks(rows):
        console.print(line, highlight=False)
    told = {"rows": [told_of(row) for row in rows.values()], "of_limit": shares_of(rows)}
    console.print(f"wrote {harness.save(args.out, 'limits', told)}")
    console.print(f"wrote {draw(rows, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    what = "of the slow ones; fast ones take two or four times as many"
    harness.number(made, "--tasks", 500, 100_000, 5000, what)
    limits = [name.removeprefix(PREFIX) for name in CONTENDERS if name.startswith(PREFIX)]
    beside = [name for name in limits if PREFIX + name != LIMIT]
    made.add_argument(
        "--limits",
        type=harness.names(limits),
        default=beside,
        metavar="NAMES",
        help=f"beside lua-64: one or more of {','.join(beside)} (default: all)",
    )
    quick = "one round of 1000 tasks, lua-64 and miniqueue alone"
    return harness.parsed(made, argv, quick, tasks=1000, limits=[])


def measure(server: harness.Server, args: argparse.Namespace, console: Console) -> Rows:
    """The rounds in turn. Raises GaveUp: without one of its rows the picture says nothing."""
    rows = {
        name: Row(CONTENDERS[name])
        for name in dict.fromkeys([*(PREFIX + name for name in args.limits), LIMIT, OURS])
    }
    benches = {}
    for name, row in rows.items():
        bench = Bench(server, row.contender, tasks=args.tasks, envs=default_folder())
        row.version, row.tasks, benches[name] = bench.version, bench.tasks, bench
    for bench in harness.in_turn(benches, args.rounds, console):
        name = bench.contender.name
        figures, problems = take(bench, {"drain", *ALSO.get(name, ())})
        for measure, problem in problems.items():
            raise GaveUp(f"{name}, {measure}: {problem}")
        rows[name].rounds.append(figures)
    return rows


# -- telling ---------------------------------------------------------------------------------------


def median(rows: Rows, name: str, figure: str) -> float:
    return statistics.median(rows[name].values(figure))


def shares(rows: Rows, ours: tuple[str, str], limit: tuple[str, str]) -> list[float]:
    """Of each round: a contender's figure as a part of another's."""
    pairs = zip(rows[ours[0]].values(ours[1]), rows[limit[0]].values(limit[1]), strict=True)
    return [mine / most for mine, most in pairs]


def of_limit(rows: Rows, drain: str) -> list[float]:
    """The part of 64 tasks a call that miniqueue reaches."""
    return shares(rows, (OURS, drain), (LIMIT, drain))


def sendings(rows: Rows) -> list[Sending]:
    """Those whose contender takes part."""
    return [one for one in SENDINGS if one.name in rows]


def shares_of(rows: Rows) -> dict[str, Any]:
    told = {drain: harness.middle(of_limit(rows, drain)) for drain in DRAINS}
    for one in sendings(rows):
        if one.name == OURS:
            told[one.figure] = harness.middle(shares(rows, (OURS, one.figure), one.limit))
    return told


def drain_table(rows: Rows) -> Table:
    title = "no-op tasks out of a full queue: median, lowest to highest"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    shown.add_column("worker", no_wrap=True)
    for name in ("/s, W=1", "/s, W=2", "of lua-64", "Redis us", "worker us"):
        shown.add_column(name, justify="right")
    for name, row in rows.items():
        cells = [harness.cell(row.values(figure)) for figure in ("drain_1", "drain_2")]
        cells.append(harness.cell(shares(rows, (name, "drain_1"), (LIMIT, "drain_1"))))
        cells += [harness.cell(row.values(figure)) for figure in ("redis_us", "worker_us")]
        what = row.contender.what if row.contender.is_limit else OURS
        shown.add_row(what, *cells, style="bold" if name == OURS else "")
    return shown


def sending_table(rows: Rows) -> Table:
    title = "no-op tasks into a queue, one client: median, lowest to highest"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    shown.add_column("call", no_wrap=True)
    shown.add_column("tasks/s", justify="right")
    shown.add_column("of the limit", justify="right")
    for one in sendings(rows):
        ours = one.name == OURS
        share = harness.cell(shares(rows, (OURS, one.figure), one.limit)) if ours else "-"
        cell = harness.cell(rows[one.name].values(one.figure))
        shown.add_row(one.what, cell, share, style="bold" if ours else "")
    return shown


def remarks(rows: Rows) -> list[str]:
    said = []
    for drain, workers in DRAINS.items():
        share = statistics.median(of_limit(rows, drain))
        ours, most = median(rows, OURS, drain), median(rows, LIMIT, drain)
        said.append(
            f"Drain, {workers}: miniqueue reaches {share:.0%} of the 64-a-call limit "
            f"({number(ours)} of {number(most)} tasks/s)."
        )
    rate = median(rows, OURS, "drain_1")
    below = [row.contender.what for n, row in rows.items() if median(rows, n, "drain_1") < rate]
    if below:
        said.append(f"With 1 worker it is faster than these by hand: {', '.join(below)}.")
    return said


def draw(rows: Rows, out: Path) -> Path:
    """Out of the queue with one worker and with two, and into it."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_drains(left, rows)
    draw_sendings(right, rows)
    for axis in (left, right):
        axis.invert_yaxis()
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.set_xlim(0, axis.get_xlim()[1] * 1.1)
    first, second = (statistics.median(of_limit(rows, drain)) for drain in DRAINS)
    figure.suptitle(
        f"miniqueue drains {first:.0%} of what bare Redis does at 64 tasks a call "
        f"({second:.0%} with two workers)"
    )
    return harness.picture(figure, out, "limits")


def colour(name: str) -> str:
    return COLOURS[OURS if name == OURS else "bare Redis, by hand"]


def draw_drains(axis: Any, rows: Rows) -> None:
    for place, name in enumerate(rows):
        for shift, drain, shade in ((-0.2, "drain_1", 1.0), (0.2, "drain_2", 0.55)):
            bar(axis, place + shift, rows[name].values(drain), colour=colour(name), shade=shade)
    names = [row.contender.what if row.contender.is_limit else OURS for row in rows.values()]
    axis.set_yticks(range(len(rows)), names)
    axis.set_title("out of a full queue, tasks a second: more is better", fontsize=9)
    handles = [Patch(color="black", alpha=shade) for shade in (0.7, 0.35)]
    axis.legend(handles, list(DRAINS.values()), frameon=False, loc="center right")


def draw_sendings(axis: Any, rows: Rows) -> None:
    shown = sendings(rows)
    for place, one in enumerate(shown):
        bar(axis, place, rows[one.name].values(one.figure), colour=colour(one.name))
    axis.set_yticks(range(len(shown)), [one.what.replace(", ", "\n") for one in shown])
    axis.set_title("into the queue, tasks a second: more is better", fontsize=9)


def bar(
    axis: Any, place: float, values: Sequence[float], *, colour: str, shade: float = 1.0
) -> None:
    rate = harness.middle(values)
    height = 0.4 if place % 1 else 0.7
    spread = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
    axis.barh(place, rate["median"], height, xerr=spread, color=colour, alpha=shade)
    axis.text(rate["high"], place, f"  {number(rate['median'])}", va="center", fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
