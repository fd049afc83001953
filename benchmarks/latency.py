"""Latency: milliseconds from sending a task to an idle worker to having its result, and its parts.

    python benchmarks/latency.py --trips 1000 --rate 100 --rounds 5
    python benchmarks/latency.py --quick                    the short version

One worker, one client: this process. In turn:
PING: the round trip of Redis' smallest command, for comparison; without a pause, and at the times
of the load below: cores that have rested are slow to wake, and a task wakes three processes.
Round trip: enqueue(noop).wait(), the next one when the last result is there, as peers.py does. Its
parts are told apart by the machine's monotonic clock: the client notes when it sends, when the
enqueue is answered and when it sees the result, the task notes when it runs.
Load: tasks come at random (Poisson), --rate a second, whether earlier ones are done or not, each in
a thread of the client. Their latency counts from the planned time of sending, so that a late client
hides nothing.
Writes latency.json and latency.png.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from bench_tasks import noop
from comparison.contenders import CONTENDERS
from comparison.environments import default_folder
from comparison.measures import Bench, Crew, GaveUp, busy_once
from done import times
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue
from miniqueue.errors import MiniQueueError

WARM_UP = 50  # tasks before the clock starts
AT_ONCE = 16  # threads of the client under load
PATIENCE_S = 10.0

PING, RESTED = "PING", "PING after a rest"
TRIP, LOAD = "round trip", "under load"
LATE = "load: sent late"
PARTS = {
    "answered": "sent to enqueue answered",
    "runs": "sent to task runs",
    "seen": "task runs to result seen",
}
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
COLOURS = {PING: "#8d99ae", RESTED: "#c3cad6", TRIP: "#d1495b", LOAD: "#edae49"}

Found = dict[str, list[list[float]]]  # ms by series, a list for each round


@dataclass(frozen=True, slots=True)
class Trip:
    """When a task was sent, answered and seen, in seconds of the monotonic clock."""

    sent: float
    answered: float
    seen: float

    @property
    def ms(self) -> float:
        return (self.seen - self.sent) * 1000


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    try:
        found = measure(args, console)
    except (GaveUp, MiniQueueError, TimeoutError) as problem:
        raise SystemExit(f"latency.py: {problem}") from None
    console.print(table(found, args))
    for line in remarks(found):
        console.print(line, highlight=False)
    console.print(f"wrote {harness.save(args.out, 'latency', told_of(found, args))}")
    console.print(f"wrote {draw(found, args)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__, rounds=5)
    for name, high, default, what in (
        ("trips", 100_000, 1000, "round trips in a round, and PINGs"),
        ("rate", 1000, 100, "tasks a second under load"),
        ("seconds", 60, 5, "of load in a round"),
    ):
        harness.number(made, f"--{name}", 1, high, default, what)
    return harness.parsed(made, argv, "one round, 300 trips, 2 s of load", trips=300, seconds=2)


# -- measuring -------------------------------------------------------------------------------------


def measure(args: argparse.Namespace, console: Console) -> Found:
    found = Found()
    with harness.server() as server:
        bench = Bench(server, CONTENDERS["miniqueue"], tasks=1, envs=default_folder())
        for step in harness.in_turn(STEPS, args.rounds, console):
            for name, ms in step(bench, args).items():
                found.setdefault(name, []).append(ms)
    return found


@contextlib.contextmanager
def at_work(bench: Bench) -> Iterator[tuple[Crew, Queue]]:
    """A worker that has run tasks, and a client that has waited for some."""
    queue = Queue(settings=bench.server.settings)
    with busy_once(bench) as crew, contextlib.closing(queue.client):
        for _ in range(WARM_UP):
            trip(queue)
        yield crew, queue


def trip(queue: Queue) -> Trip:
    sent = time.monotonic()
    handle = queue.enqueue(noop)
    answered = time.monotonic()
    handle.wait(timeout_s=PATIENCE_S)
    return Trip(sent, answered, time.monotonic())


def pings(bench: Bench, args: argparse.Namespace) -> dict[str, list[float]]:
    queue = Queue(settings=bench.server.settings)
    with contextlib.closing(queue.client):
        ping(queue)
        return {
            PING: [ping(queue) for _ in range(args.trips)],
            RESTED: [ping(queue) for _ in as_planned(args)],
        }


def ping(queue: Queue) -> float:
    begun = time.monotonic()
    queue.client.raw.ping()
    return (time.monotonic() - begun) * 1000


def trips(bench: Bench, args: argparse.Namespace) -> dict[str, list[float]]:
    """One by one, so the nth time in the worker's file is that of the nth trip."""
    with at_work(bench) as (crew, queue):
        before = crew.count
        found = [trip(queue) for _ in range(args.trips)]
        ran = times(crew.path)[before:]
    if len(ran) != len(found):
        raise SystemExit(f"latency.py: {len(found)} tasks were sent, {len(ran)} have run")
    return {
        TRIP: [one.ms for one in found],
        PARTS["answered"]: [(one.answered - one.sent) * 1000 for one in found],
        PARTS["runs"]: [(at - one.sent) * 1000 for one, at in zip(found, ran, strict=True)],
        PARTS["seen"]: [(one.seen - at) * 1000 for one, at in zip(found, ran, strict=True)],
    }


def load(bench: Bench, args: argparse.Namespace) -> dict[str, list[float]]:
    """Each task has a thread, which waits for it while the next ones are sent."""
    with at_work(bench) as (_, queue), ThreadPoolExecutor(AT_ONCE) as pool:
        warm(pool, queue)
        sent = [(at, pool.submit(trip, queue)) for at in as_planned(args)]
        found = [(at, future.result()) for at, future in sent]
    return {
        LOAD: [(one.seen - at) * 1000 for at, one in found],
        LATE: [(one.sent - at) * 1000 for at, one in found],
    }


def warm(pool: ThreadPoolExecutor, queue: Queue) -> None:
    """Start the threads, and open a connection for each."""
    for future in [pool.submit(trip, queue) for _ in range(2 * AT_ONCE)]:
        future.result()


def as_planned(args: argparse.Namespace) -> Iterator[float]:
    """The times of a Poisson process, made beforehand; each is given when it has come."""
    at, planned = time.monotonic(), list[float]()
    end = at + args.seconds
    while (at := at + random.expovariate(args.rate)) < end or not planned:
        planned.append(at)
    for at in planned:
        time.sleep(max(0.0, at - time.monotonic()))
        yield at


STEPS: Mapping[str, Callable[[Bench, argparse.Namespace], dict[str, list[float]]]] = {
    PING: pings,
    TRIP: trips,
    LOAD: load,
}


# -- telling ---------------------------------------------------------------------------------------


def quantiles(found: Found, series: str, share: float) -> list[float]:
    """Of each round."""
    return [harness.quantile(ms, share) for ms in found[series]]


def median(found: Found, series: str, share: float = 0.5) -> float:
    return statistics.median(quantiles(found, series, share))


def told_of(found: Found, args: argparse.Namespace) -> dict[str, Any]:
    told = {}
    for series in found:
        rounds = {name: quantiles(found, series, share) for name, share in SHARES.items()}
        told[series] = {
            **{name: harness.middle(values) for name, values in rounds.items()},
            "rounds": rounds,
        }
    return {"trips": args.trips, "rate": args.rate, "seconds": args.seconds, "ms": told}


def table(found: Found, args: argparse.Namespace) -> Table:
    title = "ms: median of the rounds, lowest to highest"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    for name in SHARES:
        shown.add_column(name, justify="right")
    notes = {
        PING: "one after the other",
        RESTED: f"{args.rate}/s at random",
        TRIP: "one after the other",
        LOAD: f"{args.rate}/s at random",
    }
    for series in (PING, TRIP, *PARTS.values(), RESTED, LOAD):
        cells = [harness.cell(quantiles(found, series, share)) for share in SHARES.values()]
        name = f"{series}\n[dim]{notes[series]}[/]" if series in notes else f"  {series}"
        shown.add_row(name, *cells)
    return shown


def remarks(found: Found) -> list[str]:
    """What a round trip is made of, and whether the client kept to its plan."""
    runs, seen = median(found, PARTS["runs"]), median(found, PARTS["seen"])
    return [
        f"A round trip takes as long as {median(found, TRIP) / median(found, PING):.1f} PINGs: "
        f"{runs:.2f} ms until the task runs, {seen:.2f} ms until its result is seen.",
        f"Under load it takes as long as {median(found, LOAD) / median(found, RESTED):.1f} PINGs "
        f"at such times. The client was late by {median(found, LATE):.2f} ms (p50), "
        f"{median(found, LATE, 0.99):.2f} ms (p99), which is counted.",
    ]


def draw(found: Found, args: argparse.Namespace) -> Path:
    """The share of round trips that took at most so long, and the parts of one."""
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_shares(left, found, args.rate)
    draw_parts(right, found)
    for axis in (left, right):
        axis.tick_params(labelsize=8)
    figure.suptitle(
        f"A task's result is back after {median(found, TRIP):.2f} ms (p99 "
        f"{median(found, TRIP, 0.99):.1f}), as long as "
        f"{median(found, TRIP) / median(found, PING):.1f} PINGs of Redis"
    )
    return harness.picture(figure, args.out, "latency")


def draw_shares(axis: Any, found: Found, rate: int) -> None:
    labels = {
        PING: "PING",
        RESTED: f"PING, {rate}/s at random",
        TRIP: "enqueue().wait(), one by one",
        LOAD: f"enqueue().wait(), {rate}/s at random",
    }
    for series, label in labels.items():
        ms = [value for own in found[series] for value in own]
        p50, p99 = median(found, series), median(found, series, 0.99)
        text = f"{label}: p50 {p50:.2f}, p99 {p99:.2f} ms"
        axis.ecdf(ms, color=COLOURS[series], linewidth=2, label=text)
    for share in (0.5, 0.99):
        axis.axhline(share, color="black", linestyle=":", linewidth=0.8)
        axis.text(1.01, share, f"p{100 * share:g}", va="center", fontsize=8,
                  transform=axis.get_yaxis_transform())  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("ms", fontsize=9)
    axis.set_title("share that took at most so long, all rounds", fontsize=9)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2}
    axis.legend(frameon=False, fontsize=8, **place)


def draw_parts(axis: Any, found: Found) -> None:
    """Bars to p50, a thin line to p99; each begins where it begins in time."""
    runs = median(found, PARTS["runs"])
    series = {PING: 0.0, PARTS["answered"]: 0.0, PARTS["runs"]: 0.0, PARTS["seen"]: runs, TRIP: 0.0}
    most = max(start + median(found, name, 0.99) for name, start in series.items())
    for place, (name, start) in enumerate(series.items()):
        p50, p99 = median(found, name), median(found, name, 0.99)
        axis.barh(place, p50, left=start, color=COLOURS.get(name, "#30638e"))
        axis.plot((start + p50, start + p99), (place, place), color="black", linewidth=1)
        axis.text(
            start + p99 + most * 0.02, place, f"{p50:.2f} / {p99:.2f}", va="center", fontsize=8
        )
    axis.set_yticks(range(len(series)), list(series))
    axis.invert_yaxis()
    axis.set_xlim(0, most * 1.25)
    axis.set_xlabel("ms", fontsize=9)
    axis.set_title("one at a time: p50 (bar), p99 (line)", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
