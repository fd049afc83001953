"""Fairness: how long a short task waits where others take seconds, and what prefetch costs it.

    python benchmarks/fairness.py --seconds 20 --load 60 --rounds 3
    python benchmarks/fairness.py --quick                              the short version

Two hundred tasks of 1 ms to one of 2 s, which sleep, for four workers. They arrive at random times
(Poisson, the same in each contender's round) whether or not the earlier ones are done, as many as
keep the workers busy for --load percent of their time. A wait is from the moment at which a task
was to be sent to its start, by the machine's clock. Then the same workers drain short tasks alone.
miniqueue as it comes, beside itself without prefetch (MINIQUEUE_BATCH=1, MINIQUEUE_PREFETCH_MS=0):
a task then never waits behind another in its worker's hands, and each claim hands out one.
Writes fairness.json and fairness.png.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from bench_tasks import long, nap, noop, short
from done import times
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue
from miniqueue.checkup import read_all
from miniqueue.errors import MiniQueueError
from miniqueue.inspector import Inspector
from miniqueue.registry import TaskFunction
from miniqueue.task import Task, TaskState

SHORT_S, LONG_S = 0.001, 2.0
SHORTS = 200  # to one long task
OURS, PLAIN = "as it comes", "no prefetch"
CONTENDERS: Mapping[str, Mapping[str, str]] = {
    OURS: {},
    PLAIN: {"MINIQUEUE_BATCH": "1", "MINIQUEUE_PREFETCH_MS": "0"},
}
# The short ones have a function of their own, or one that also takes long: nobody can tell then.
MIXES = {"two": (short, long), "one": (short, short)}
WAIT_GOAL, RATE_GOAL = 1.3, 5
FIGURES = {
    "p50_ms": "wait of the short ones, p50, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
    "busy": "workers' time in tasks, share",
    "short_rate": "1 ms tasks alone, /s",
    "noop_rate": "no-ops alone, /s",
}
SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
COLOURS = {OURS: "#d1495b", PLAIN: "#30638e"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A task on its way: seconds from the start, and how long it will take."""

    at_s: float
    takes_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one contender did: waits of the short tasks, and tasks a second of the two drains."""

    contender: str
    waits_ms: Sequence[float]
    busy: float  # the share of their time in which the workers ran tasks
    short_rate: float
    noop_rate: float

    def figures(self) -> dict[str, float]:
        waits = {name: harness.quantile(self.waits_ms, share) for name, share in SHARES.items()}
        return {**waits, **{name: getattr(self, name) for name in FIGURES if name not in SHARES}}


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console, found = Console(), list[Round]()
    try:
        with harness.server() as server:
            for contender in harness.in_turn({n: n for n in CONTENDERS}, args.rounds, console):
                seed = sum(r.contender == contender for r in found)
                found.append(measure(server, contender, args, seed))
    except MiniQueueError as error:
        print(f"fairness.py: {error}", file=sys.stderr)
        return 1
    console.print(table(found, args))
    for line in remarks(found):
        console.print(line, highlight=False)
    console.print(f"wrote {harness.save(args.out, 'fairness', told_of(found, args))}")
    console.print(f"wrote {draw(found, args)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    for name, low, high, usual, what in (
        ("--seconds", 2, 600, 20, "of arrivals in a round"),
        ("--load", 5, 95, 60, "percent of the workers' time that the tasks need"),
        ("--workers", 1, 64, 4, "worker processes"),
        ("--drain", 100, 500_000, 40_000, "no-op tasks to drain; a fifth of it without prefetch"),
    ):
        harness.number(made, name, low, high, usual, what)
    made.add_argument(
        "--functions", choices=MIXES, default="two",
        help="two: short and long tasks have names of their own; one: nobody can tell them apart "
        "(default: %(default)s)",
    )  # fmt: skip
    return harness.parsed(made, argv, "one round of 2 seconds", seconds=2, drain=4000)


# -- measuring -------------------------------------------------------------------------------------


def measure(server: harness.Server, contender: str, args: argparse.Namespace, seed: int) -> Round:
    """Fresh workers get the mixture, then a full queue of short tasks, then one of no-ops."""
    server.empty()
    path = server.done_file()
    bench = Bench(server, path)
    few = contender == PLAIN  # it takes about as long then
    try:
        with server.workers(args.workers, {"BENCH_DONE": path, **CONTENDERS[contender]}):
            bench.wait_for_workers(args.workers)
            tasks = bench.run(arrivals(args, seed), MIXES[args.functions])
            return Round(
                contender,
                [task.result for task in tasks if task.args[1] == SHORT_S],
                sum(task.run_ms or 0 for task in tasks) / 1000 / (args.workers * args.seconds),
                bench.drain(nap, (SHORT_S,), args.drain // 10),
                bench.drain(noop, (), args.drain // RATE_GOAL if few else args.drain),
            )
    finally:
        bench.queue.client.close()
        os.unlink(path)


def arrivals(args: argparse.Namespace, seed: int) -> list[Arrival]:
    """The same for the same seed: exponential gaps, and each 201st task is a long one."""
    draw = random.Random(seed)
    mean_s = (SHORTS * SHORT_S + LONG_S) / (SHORTS + 1)
    rate = args.load / 100 * args.workers / mean_s
    found: list[Arrival] = []
    at_s = draw.expovariate(rate)
    while at_s < args.seconds:
        is_long = len(found) % (SHORTS + 1) == SHORTS // 2
        found.append(Arrival(at_s, LONG_S if is_long else SHORT_S))
        at_s += draw.expovariate(rate)
    return found


class Bench:
    """A queue on a server whose workers run, and how many tasks it was sent."""

    def __init__(self, server: harness.Server, path: str) -> None:
        self.queue = Queue(settings=server.settings)
        self._inspector = Inspector(self.queue)
        self._raw = server.raw
        self._path = path
        self._sent = 0

    def wait_for_workers(self, count: int) -> None:
        harness.until(lambda: len(self._inspector.workers()) >= count, "the workers are there")

    def run(
        self, coming: Sequence[Arrival], functions: Sequence[TaskFunction[..., Any]]
    ) -> list[Task]:
        """Send each in its time, wait for the end of all; gives them."""
        begun, ids = time.monotonic(), []
        for arrival in coming:
            due = begun + arrival.at_s
            time.sleep(max(0.0, due - time.monotonic()))
            function = functions[arrival.takes_s != SHORT_S]
            ids.append(self.queue.enqueue(function, due, arrival.takes_s).id)
        self._wait(len(ids))
        return list(self._read(ids))

    def _read(self, ids: Sequence[str]) -> Iterator[Task]:
        for task in read_all(self.queue.client, self.queue.protocol.keys, ids):
            if task is None or task.state is not TaskState.SUCCEEDED:
                raise SystemExit(f"fairness.py: a task did not succeed: {task}")
            yield task

    def drain(self, function: TaskFunction[..., Any], args: Sequence[Any], count: int) -> float:
        """Tasks a second out of a full queue, from the first done to the last."""
        before = len(times(self._path))
        self.queue.pause()
        self.queue.enqueue_many(function, [args] * count)
        self.queue.resume()
        self._wait(count)
        done = times(self._path)[before:]
        return (len(done) - 1) / (done[-1] - done[0])

    def _wait(self, more: int) -> None:
        self._sent += more
        finished = self.queue.protocol.keys.finished
        harness.until(lambda: self._raw.zcard(finished) >= self._sent, "all is done", every_s=0.02)


# -- telling ---------------------------------------------------------------------------------------


def values(found: Sequence[Round], contender: str, figure: str) -> list[float]:
    return [r.figures()[figure] for r in found if r.contender == contender]


def ratios(found: Sequence[Round], figure: str) -> list[float]:
    """Of each round: as it comes by no prefetch."""
    pairs = zip(values(found, OURS, figure), values(found, PLAIN, figure), strict=True)
    return [ours / plain for ours, plain in pairs]


def told_of(found: Sequence[Round], args: argparse.Namespace) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: getattr(args, name) for name in ("seconds", "load", "workers", "functions")
    }
    for contender in CONTENDERS:
        told[contender] = {n: harness.middle(values(found, contender, n)) for n in FIGURES}
    told["ratio"] = {name: harness.middle(ratios(found, name)) for name in FIGURES}
    return told | {"rounds": [{"contender": r.contender, **r.figures()} for r in found]}


def table(found: Sequence[Round], args: argparse.Namespace) -> Table:
    mixture = f"{SHORTS} tasks of 1 ms to one of 2 s, load {args.load} %, {args.workers} workers"
    shown = Table(title=f"{mixture}\nmedian, lowest to highest", box=box.SIMPLE)
    for name in ("", *CONTENDERS, "ratio"):
        shown.add_column(name, justify="right" if name else "left", no_wrap=True)
    for figure, words in FIGURES.items():
        cells = [harness.cell(values(found, contender, figure)) for contender in CONTENDERS]
        shown.add_row(words, *cells, harness.cell(ratios(found, figure)))
    return shown


def remarks(found: Sequence[Round]) -> list[str]:
    """Both goals. A drain of 1 ms tasks cannot gain much: the tasks themselves take the time."""
    wait = statistics.median(ratios(found, "p95_ms"))
    rate = statistics.median(ratios(found, "noop_rate"))
    return [
        f"p95 of the waits: {wait:.2f} of no prefetch; the goal, at most {WAIT_GOAL}, is "
        + ("reached." if wait <= WAIT_GOAL else "missed."),
        f"No-ops alone: {rate:.1f} times no prefetch; the goal, at least {RATE_GOAL}, is "
        + ("reached." if rate >= RATE_GOAL else "missed."),
    ]


def draw(found: Sequence[Round], args: argparse.Namespace) -> Path:
    """How many of the short tasks had started after so long, and what that buys."""
    figure = Figure(figsize=(12, 4.4))
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    draw_waits(left, found)
    draw_rates(right, found)
    wait = statistics.median(ratios(found, "p95_ms"))
    rate = statistics.median(ratios(found, "noop_rate"))
    figure.suptitle(
        f"Prefetch makes short tasks wait {wait:.2f} times as long (p95) beside long ones, "
        f"and run {rate:.1f} times as fast alone"
    )
    figure.tight_layout()
    return harness.picture(figure, args.out, "fairness")


def draw_waits(axis: Any, found: Sequence[Round]) -> None:
    """The empirical distribution over all rounds."""
    for contender in CONTENDERS:
        waits = sorted(w for r in found if r.contender == contender for w in r.waits_ms)
        p95 = statistics.median(values(found, contender, "p95_ms"))
        label = f"{contender}: p95 {p95:.3g} ms"
        axis.ecdf(waits, label=label, color=COLOURS[contender])
    for share in SHARES.values():
        axis.axhline(share, color="grey", linewidth=0.5, linestyle=":")
    axis.set_yticks([0, *SHARES.values()], ["0", *(f"{share:.0%}" for share in SHARES.values())])
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("wait of a short task, ms", fontsize=9)
    axis.set_title("short tasks that had started after this time", fontsize=9)
    axis.legend(loc="center right", frameon=False)


def draw_rates(axis: Any, found: Sequence[Round]) -> None:
    for contender in CONTENDERS:
        rate = harness.middle(values(found, contender, "noop_rate"))
        middle = rate["median"]
        spread = [[middle - rate["low"]], [rate["high"] - middle]]
        axis.bar(contender, middle, yerr=spread, color=COLOURS[contender], width=0.6)
        axis.text(contender, rate["high"] * 1.01, f"{middle:,.0f}", ha="center", va="bottom")
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.margins(y=0.12)
    axis.set_title("no-op tasks a second, alone", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
