"""Enqueue: tasks a second that one client sends, and what is left of what bare Redis takes.

    python benchmarks/enqueue.py --tasks 40000 --rounds 5
    python benchmarks/enqueue.py --quick                     the short version

One thread of this process sends no-op tasks to an empty queue that nobody works on: one by one with
enqueue(), then with enqueue_many() in calls of 1 to 1000 tasks. Beside them, in the same round, the
least that a queue can do by hand: HSET and LPUSH of each task, in pipelines of the same sizes
(drivers/with_nothing.py). The next call leaves when the last is answered. CPU microseconds a task
are those of this process and of Redis. Writes enqueue.json and enqueue.png.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
import with_nothing
from bench_tasks import noop
from driver import chunks
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue
from miniqueue.protocol.keys import QueueKeys

ONE_BY_ONE = "one by one"
OURS, LIMIT = "miniqueue", "bare Redis"
SIZES = (1, 10, 100, 500, 1000)
COLOURS = {OURS: "#d1495b", LIMIT: "#8d99ae", "Redis": "#edae49"}
DRAWN = (ONE_BY_ONE, "100 a call", "1000 a call")  # in the picture of CPU time


@dataclass(frozen=True, slots=True)
class Client:
    """What sends, by the library and by hand."""

    server: harness.Server
    queue: Queue

    @property
    def waiting(self) -> int:
        keys = QueueKeys(self.queue.settings.namespace, self.queue.name).ready
        return sum(int(str(self.server.raw.llen(key))) for key in (*keys, "ready"))


@dataclass(frozen=True, slots=True)
class Way:
    """A way to send. `call` names it in the table; `send` takes a client, a count and `size`."""

    who: str
    call: str
    size: int
    send: Callable[[Client, int, int], object]

    @property
    def name(self) -> str:
        return f"{self.who}, {self.call}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a way: tasks a second, and microseconds of CPU a task."""

    way: str
    rate: float
    client_us: float
    redis_us: float


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    with harness.server() as server:
        queue = Queue(settings=server.settings.but(max_queued=2 * args.tasks))
        with contextlib.closing(queue.client):
            client = Client(server, queue)
            ways = harness.in_turn({way.name: way for way in WAYS}, args.rounds, console)
            found = [measure(client, way, args.tasks) for way in ways]
    console.print(table(found))
    for line in remarks(found):
        console.print(line, highlight=False)
    console.print(f"wrote {harness.save(args.out, 'enqueue', told_of(found, args))}")
    console.print(f"wrote {draw(found, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__, rounds=5)
    what = "a measurement; a quarter where a call takes one task"
    harness.number(made, "--tasks", 1000, 1_000_000, 40_000, what)
    return harness.parsed(made, argv, "one round of 8000 tasks (5 s)", tasks=8000)


# -- the ways --------------------------------------------------------------------------------------


def one_by_one(client: Client, count: int, size: int) -> None:
    for _ in range(count):
        client.queue.enqueue(noop)


def in_bulk(client: Client, count: int, size: int) -> None:
    for some in chunks(count, size):
        client.queue.enqueue_many(noop, [()] * some)


def by_hand(client: Client, count: int, size: int) -> None:
    with_nothing.enqueue(client.server.raw, count, size)


WAYS = (
    Way(OURS, ONE_BY_ONE, 1, one_by_one),
    *(
        Way(who, f"{size} a call", size, send)
        for size in SIZES
        for who, send in ((OURS, in_bulk), (LIMIT, by_hand))
    ),
)


def beside(way: Way) -> Way:
    """The limit for one of our ways: the pipeline that carries as many tasks."""
    return next(other for other in WAYS if (other.who, other.size) == (LIMIT, way.size))


def measure(client: Client, way: Way, tasks: int) -> Sample:
    """Send to an empty queue. The first call, which connects and loads a script, is not timed."""
    count = tasks if way.size > 1 else tasks // 4
    client.server.empty()
    way.send(client, way.size, way.size)
    redis_s, client_s, begun = client.server.cpu_s(), time.process_time(), time.perf_counter()
    way.send(client, count, way.size)
    took_s = time.perf_counter() - begun
    client_s = time.process_time() - client_s
    redis_s = client.server.cpu_s() - redis_s
    if client.waiting != count + way.size:
        raise SystemExit(f"enqueue.py: {count + way.size} were sent, {client.waiting} are there")
    return Sample(way.name, count / took_s, client_s * 1e6 / count, redis_s * 1e6 / count)


# -- telling ---------------------------------------------------------------------------------------


def of(found: Sequence[Sample], way: Way) -> list[Sample]:
    return [sample for sample in found if sample.way == way.name]


def median(found: Sequence[Sample], way: Way, figure: str) -> float:
    return statistics.median([float(getattr(sample, figure)) for sample in of(found, way)])


def ratios(found: Sequence[Sample], way: Way) -> list[float]:
    """Of each round: the rate as a part of the limit's."""
    pairs = zip(of(found, way), of(found, beside(way)), strict=True)
    return [ours.rate / limit.rate for ours, limit in pairs]


def ours() -> list[Way]:
    return [way for way in WAYS if way.who == OURS]


def best(found: Sequence[Sample], who: str) -> Way:
    """The fastest way."""
    return max((w for w in WAYS if w.who == who), key=lambda way: median(found, way, "rate"))


def told_of(found: Sequence[Sample], args: argparse.Namespace) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for way in WAYS:
        own = of(found, way)
        figures = ("rate", "client_us", "redis_us")
        told = {name: harness.middle([getattr(s, name) for s in own]) for name in figures}
        if way.who == OURS:
            told["of_limit"] = harness.middle(ratios(found, way))
        ways[way.name] = told
    return {"tasks": args.tasks, "ways": ways, "samples": [asdict(s) for s in found]}


def table(found: Sequence[Sample]) -> Table:
    title = "one client, no-op tasks (CPU us a task): median, lowest to highest"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    shown.add_column("way")
    for name in ("tasks/s", "of the limit", "client us", "Redis us"):
        shown.add_column(name, justify="right")
    for way in WAYS:
        own = of(found, way)
        rate, client, behind = (
            harness.cell([getattr(sample, name) for sample in own])
            for name in ("rate", "client_us", "redis_us")
        )
        share = harness.cell(ratios(found, way)) if way.who == OURS else "-"
        style = "" if way.who == OURS else "dim"
        shown.add_row(f"{way.call}\n{way.who}", rate, share, client, behind, style=style)
    return shown


def remarks(found: Sequence[Sample]) -> list[str]:
    """The ratios to the limit, in words."""
    said = []
    for way in ours():
        share, rate, limit = (
            statistics.median(ratios(found, way)),
            median(found, way, "rate"),
            median(found, beside(way), "rate"),
        )
        said.append(f"{way.call}: {share:.2f} of the limit ({rate:,.0f} of {limit:,.0f} a second).")
    fastest, limit_way = best(found, OURS), best(found, LIMIT)
    share = median(found, fastest, "rate") / median(found, limit_way, "rate")
    said.append(
        f"At their best: {share:.2f} of the limit ({fastest.call} here, {limit_way.call} by hand)."
    )
    return said


def draw(found: Sequence[Sample], out: Path) -> Path:
    """Rates by the size of a call, and where the CPU time of a task goes."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_rates(left, found)
    draw_cpu(right, found)
    for axis in (left, right):
        axis.tick_params(labelsize=8)
    one, bulk = WAYS[0], best(found, OURS)
    figure.suptitle(
        f"One client sends {median(found, one, 'rate'):,.0f} tasks a second one by one "
        f"({statistics.median(ratios(found, one)):.2f} of bare Redis) and "
        f"{median(found, bulk, 'rate'):,.0f} in bulk ({statistics.median(ratios(found, bulk)):.2f})"
    )
    return harness.picture(figure, out, "enqueue")


def draw_rates(axis: Any, found: Sequence[Sample]) -> None:
    """Two bars for each of our ways, its own and the limit's; above them the ratio."""
    ways, most = ours(), median(found, best(found, LIMIT), "rate")
    for place, way in enumerate(ways):
        for shift, one in ((-0.2, way), (0.2, beside(way))):
            rate = harness.middle([sample.rate for sample in of(found, one)])
            spread = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
            axis.bar(place + shift, rate["median"], 0.4, yerr=spread, color=COLOURS[one.who])
            text = f"{rate['median'] / 1000:.1f}k"
            axis.text(place + shift, most * 0.01, text, ha="center", color="white", fontsize=8)
        top = max(sample.rate for one in (way, beside(way)) for sample in of(found, one))
        share = f"{statistics.median(ratios(found, way)):.2f}"
        axis.text(place, top + most * 0.03, share, ha="center", fontweight="bold")
    axis.set_xticks(range(len(ways)), [way.call for way in ways])
    axis.set_ylim(0, 1.12 * max(sample.rate for sample in found))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_title("tasks a second: more is better (bold: the part of bare Redis)", fontsize=9)
    handles = [Patch(color=COLOURS[who]) for who in (OURS, LIMIT)]
    axis.legend(handles, (OURS, f"{LIMIT}, HSET + LPUSH"), frameon=False, loc="upper left")


def draw_cpu(axis: Any, found: Sequence[Sample]) -> None:
    """A bar a way, one part the client's, one Redis'."""
    ways = [w for way in ours() if way.call in DRAWN for w in (way, beside(way))]
    most = max(median(found, w, "client_us") + median(found, w, "redis_us") for w in ways)
    for place, way in enumerate(ways):
        client, behind = (median(found, way, name) for name in ("client_us", "redis_us"))
        axis.barh(place, client, color=COLOURS[way.who])
        axis.barh(place, behind, left=client, color=COLOURS["Redis"])
        text = f"{client:.0f} + {behind:.0f}"
        axis.text(client + behind + most * 0.02, place, text, va="center", fontsize=8)
    axis.set_yticks(range(len(ways)), [f"{way.call}\n{way.who}" for way in ways])
    axis.invert_yaxis()
    axis.set_xlim(0, most * 1.2)
    axis.set_title("CPU us a task, client + Redis (yellow): less is better", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
