"""Anatomy: where the microseconds of a task go, and what each choice of miniqueue is worth.

    python benchmarks/anatomy.py --tasks 40000 --rounds 5
    python benchmarks/anatomy.py --quick                     the short version

One worker drains no-op tasks as in drain.py. Redis' time is told apart by INFO commandstats: each
command, Lua around them, and the rest of the process (sockets, parsing, replies). The worker's time
is told apart by py-spy in a drain of its own: 500 times a second it looks at the stack of whoever
has the interpreter's lock, and counts the innermost part of miniqueue in it; what the kernel does
for the worker is a part by itself. SLOWLOG gives the longest script: so long does
Redis serve nobody else. Then, in turn, the same without one choice after another
(drivers/without.py). Writes anatomy.json and anatomy.png.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import harness
import psutil
from comparison.contenders import CONTENDERS
from comparison.environments import default_folder
from comparison.measures import SETTLE_S, Bench, Crew, GaveUp, drain, last_line, roundtrip
from http_api import POST, POSTS, Api, serving
from http_api import measure as ask
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table
from without import __file__ as without

from miniqueue.errors import MiniQueueError

OURS = CONTENDERS["miniqueue"]
DRAIN, TRIP = "drain, tasks/s", "round trip, ms"
HTTP, HTTP_BULK = "POST /task, tasks/s", "POST /tasks, tasks/s"
FIGURES = (DRAIN, TRIP, HTTP, HTTP_BULK)
CONNECTIONS = 16
RATE = 500  # samples a second
# The parts of Redis' time by the commands that the scripts call.
INSIDE = {
    "hmget": "HMGET: read the hash",
    "hset": "HSET: write the hash",
    "pexpire": "PEXPIRE: when to forget it",
    "lpop": "LPOP: from the list",
    "zadd": "ZADD, ZREM: leases, ended",
    "zrem": "ZADD, ZREM: leases, ended",
    "xadd": "XADD, HINCRBY, TIME",
    "hincrby": "XADD, HINCRBY, TIME",
    "time": "XADD, HINCRBY, TIME",
}
# The parts of a worker by the file of a frame; the innermost frame with a part counts.
PARTS = {
    "bench_tasks.py": "the task itself",
    "done.py": "the task itself",
    "redis_client.py": "packing, sockets, replies",
    "task.py": "JSON",
    "lane.py": "lane: claims, results",
    "operations.py": "lane: claims, results",
    "records.py": "lane: claims, results",
    "pace.py": "lane: claims, results",
    "runner.py": "runner: one run",
    "executor.py": "runner: one run",
    "outcome.py": "runner: one run",
    "middleware.py": "runner: one run",
    "registry.py": "runner: one run",
    "options.py": "runner: one run",
    "worker.py": "keeper",
    "upkeep.py": "keeper",
}
REST = "the rest"
PYTHON, KERNEL = "Python", "kernel: sockets, waking up"


class BlindSpy(Exception):
    """py-spy is not here, or may not look into another process; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice by its name in without.py, what it is, and what it is measured by."""

    name: str
    what: str
    figures: tuple[str, ...]


CHOICES = (
    Choice("batches", "a claim hands out up to 64 tasks, a call ends as many", (DRAIN,)),
    Choice("pipelines", "calls share a round trip", (DRAIN, TRIP)),
    Choice("ahead", "the next tasks are asked for before these run", (DRAIN,)),
    Choice("hiredis", "commands and replies are packed and parsed in C", (DRAIN, HTTP_BULK)),
    Choice("joining", "what several requests enqueue is one script call", (HTTP,)),
    Choice("events", "every operation is told to the event stream", (DRAIN,)),
    Choice("expiry", "each ended task has a time at which Redis forgets it", (DRAIN,)),
)
Found = dict[tuple[str, str], list[float]]  # by choice ("" is: as it comes) and figure


@dataclass(frozen=True, slots=True)
class Split:
    """Microseconds a task by part, and the longest script, in ms."""

    redis: Mapping[str, float]
    worker: Mapping[str, float]
    longest_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    try:
        with harness.server() as server:
            split = anatomy(server, args, console)
            found = compare(server, args, console)
    except (GaveUp, MiniQueueError) as error:
        print(f"anatomy.py: {error}", file=sys.stderr)
        return 1
    console.print(split_table(split))
    console.print(choice_table(found))
    console.print(f"The longest script kept Redis for {split.longest_ms:.2f} ms.", highlight=False)
    console.print(f"wrote {harness.save(args.out, 'anatomy', told_of(split, found, args))}")
    console.print(f"wrote {draw(split, found, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    what = "of a drain; the one that py-spy looks at takes four times as many"
    harness.number(made, "--tasks", 1000, 1_000_000, 20_000, what)
    return harness.parsed(made, argv, "one round of 5000 tasks", tasks=5000)


# -- where the microseconds go ---------------------------------------------------------------------


def bench_of(server: harness.Server, tasks: int, without: str = "") -> Bench:
    """miniqueue, or miniqueue without a choice, and so many tasks."""
    contender = replace(OURS, setting=without, share=1.0)
    return Bench(server, contender, tasks=tasks, envs=default_folder())


def anatomy(server: harness.Server, args: argparse.Namespace, console: Console) -> Split:
    """As many drains as rounds, the middle one of which counts, then one under py-spy's eyes."""
    bench = bench_of(server, args.tasks)
    drains = []
    for number in range(args.rounds):
        harness.show(console, number / args.rounds, f"Redis' side, {number + 1} of {args.rounds}")
        drains.append(redis_side(bench))
    found = sorted(drains, key=lambda split: sum(split.redis.values()))[len(drains) // 2]
    harness.show(console, 1, "the worker's side")
    try:
        shares = worker_side(bench_of(server, 4 * args.tasks))
    except BlindSpy as why:
        console.print(f"\nThe worker's Python is not told apart: {why}", highlight=False)
        return found
    console.print()
    python_us = found.worker[PYTHON]
    parts = {part: python_us * share for part, share in shares.items()}
    return replace(found, worker={**parts, KERNEL: found.worker[KERNEL]})


def redis_side(bench: Bench) -> Split:
    """Of one drain; of the worker's time only what is Python's and what is the kernel's."""
    server = bench.server
    server.empty()
    bench.client("bulk", bench.tasks)
    server.raw.config_resetstat()
    server.raw.config_set("slowlog-log-slower-than", 500)
    server.raw.slowlog_reset()
    before = server.cpu_s()
    with bench.workers() as crew:
        crew.wait(1, every_s=0.001)
        started = times_of(crew)
        crew.wait(bench.tasks)
        time.sleep(SETTLE_S)
        cpu_us = (server.cpu_s() - before) * 1e6
        worker = {part: (s - started[part]) * 1e6 for part, s in times_of(crew).items()}
    stats: Any = server.raw.info("commandstats")
    spent = {name.removeprefix("cmdstat_"): one["usec"] for name, one in stats.items()}
    inside = Counter[str]()
    for name, part in INSIDE.items():
        inside[part] += spent.get(name, 0)
    parts = {
        **inside,
        "Lua, and its calls": spent["evalsha"] - inside.total(),
        "sockets, parsing, the rest": max(0.0, cpu_us - spent["evalsha"]),
    }
    slow: Any = server.raw.slowlog_get(1000)
    longest_ms = max((entry["duration"] for entry in slow), default=0) / 1e3
    redis_us, worker_us = (
        {part: us / bench.tasks for part, us in side.items()} for side in (parts, worker)
    )
    return Split(redis_us, worker_us, longest_ms)


def times_of(crew: Crew) -> dict[str, float]:
    """CPU seconds of a worker so far."""
    spent = psutil.Process(crew.services[0].pid).cpu_times()
    return {PYTHON: spent.user, KERNEL: spent.system}


def worker_side(bench: Bench) -> dict[str, float]:
    """The share of each part in a worker's Python, by py-spy. Raises BlindSpy."""
    stacks = bench.server.directory / "stacks.txt"
    bench.server.empty()
    bench.client("bulk", bench.tasks)
    with bench.workers() as crew:
        crew.wait(1, every_s=0.001)
        command = [py_spy(), "record", "--pid", str(crew.services[0].pid), "--format", "raw"]
        options = ["--gil", "--duration", "2", "--rate", str(RATE), "--output", str(stacks)]
        done = subprocess.run([*command, *options], capture_output=True, text=True)
        if done.returncode:
            raise BlindSpy(f"{last_line(done.stderr)} (py-spy may have to be run by root)")
        crew.wait(bench.tasks)
    seen = Counter[str]()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        seen[part_of(stack)] += int(count)
    return {part: count / seen.total() for part, count in seen.most_common()}


def py_spy() -> str:
    """Its command, which is beside Python's or on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("py-spy", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if not found:
        raise BlindSpy("py-spy is not here: pip install py-spy")
    return found


def part_of(stack: str) -> str:
    """The innermost part of `outermost (file.py:1);...;innermost (folder/file.py:2)`."""
    for frame in reversed(stack.split(";")):
        name = frame.rpartition("(")[2].partition(":")[0].rpartition("/")[2]
        if name in PARTS:
            return PARTS[name]
    return REST


# -- what a choice is worth ------------------------------------------------------------------------


def compare(server: harness.Server, args: argparse.Namespace, console: Console) -> Found:
    """All choices in turn with none taken away."""
    found: Found = {}
    names = ["", *(choice.name for choice in CHOICES)]
    wanted = {choice.name: choice.figures for choice in CHOICES} | {"": FIGURES}
    contenders = {f"without {name}" if name else "as it comes": name for name in names}
    for name in harness.in_turn(contenders, args.rounds, console):
        for figure in wanted[name]:
            found.setdefault((name, figure), []).append(measure(server, name, figure, args.tasks))
    return found


def measure(server: harness.Server, name: str, figure: str, tasks: int) -> float:
    if figure in (HTTP, HTTP_BULK):
        with api(server, name) as running:
            return ask(running, POST if figure == HTTP else POSTS, CONNECTIONS, 2).rate
    share = 0.1 if name == "batches" else 1  # it is so slow
    bench = bench_of(server, int(tasks * share), name)
    return drain(bench, 1)["drain_1"] if figure == DRAIN else roundtrip(bench)["p50_ms"]


def api(server: harness.Server, name: str) -> contextlib.AbstractContextManager[Api]:
    command = [without, name] if name else ["-m", "miniqueue"]
    return serving(server, name or OURS.name, [sys.executable, *command, "api"])


def gains(found: Found, name: str, figure: str) -> list[float]:
    """Of each round: how many times better it is with it than without; below 1: it costs."""
    pairs = zip(found["", figure], found[name, figure], strict=True)
    return [b / a if figure == TRIP else a / b for a, b in pairs]


# -- telling ---------------------------------------------------------------------------------------


def told_of(split: Split, found: Found, args: argparse.Namespace) -> dict[str, Any]:
    choices = {
        choice.name: {
            "what": choice.what,
            "gain": {f: harness.middle(gains(found, choice.name, f)) for f in choice.figures},
        }
        for choice in CHOICES
    }
    rounds = [{"without": n, "figure": f, "values": values} for (n, f), values in found.items()]
    return {"tasks": args.tasks, **asdict(split), "choices": choices, "rounds": rounds}


def split_table(split: Split) -> Table:
    shown = Table(title="CPU microseconds of a no-op task", box=box.SIMPLE_HEAD)
    for name in ("Redis", "us", "worker", "us"):
        shown.add_column(name, justify="right" if name == "us" else "left", no_wrap=True)
    sides = [sorted(one.items(), key=lambda i: -i[1]) for one in (split.redis, split.worker)]
    for pair in itertools.zip_longest(*sides, fillvalue=("", 0.0)):
        shown.add_row(*(text for part, us in pair for text in (part, f"{us:.1f}" if part else "")))
    shown.add_section()
    sums = [f"{sum(one.values()):.1f}" for one in (split.redis, split.worker)]
    shown.add_row("in all", sums[0], "in all", sums[1], style="bold")
    return shown


def choice_table(found: Found) -> Table:
    shown = Table(title="as it comes, and without a choice", box=box.SIMPLE_HEAD)
    for name in ("choice", "figure", "with", "without", "gain"):
        shown.add_column(name, justify="left" if name in ("choice", "figure") else "right")
    for choice in CHOICES:
        for figure in choice.figures:
            cells = [found["", figure], found[choice.name, figure]]
            gain = gains(found, choice.name, figure)
            shown.add_row(choice.name, figure, *map(harness.cell, [*cells, gain]))
    return shown


def draw(split: Split, found: Found, out: Path) -> Path:
    """Left the microseconds, right what each choice is worth."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    redis_us, worker_us = (sum(one.values()) for one in (split.redis, split.worker))
    draw_parts(left, split.redis, f"Redis: {redis_us:.0f} us", "#edae49")
    draw_parts(middle, split.worker, f"worker: {worker_us:.0f} us", "#d1495b")
    draw_gains(right, found)
    for axis in (left, middle, right):
        axis.invert_yaxis()
        axis.tick_params(labelsize=8)
    figure.suptitle("Where the CPU time of a no-op task goes, and what each choice is worth")
    return harness.picture(figure, out, "anatomy")


def draw_parts(axis: Any, parts: Mapping[str, float], title: str, colour: str) -> None:
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    bars = axis.barh([name for name, _ in ordered], [us for _, us in ordered], color=colour)
    axis.bar_label(bars, [f"{us:.1f}" for _, us in ordered], padding=3, fontsize=8)
    axis.margins(x=0.15)
    axis.set_title(f"{title} a task", fontsize=9)


def draw_gains(axis: Any, found: Found) -> None:
    shown = [(choice.name, figure) for choice in CHOICES for figure in choice.figures]
    for place, (name, figure) in enumerate(shown):
        gain = harness.middle(gains(found, name, figure))
        spread = [[gain["median"] - gain["low"]], [gain["high"] - gain["median"]]]
        colour = "#30638e" if gain["median"] >= 1 else "#c8c8c8"
        axis.errorbar(gain["median"], place, xerr=spread, fmt="o", markersize=8, color=colour)
        axis.hlines(place, 1, gain["median"], color=colour, linewidth=4, alpha=0.5)
        axis.text(
            max(1, gain["high"]) * 1.08, place, f"{gain['median']:.2f}x", va="center", fontsize=8
        )
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks(range(len(shown)), [f"{n}\n{f.partition(',')[0]}" for n, f in shown])
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}x")
    axis.xaxis.set_minor_formatter("")
    axis.margins(x=0.2)
    axis.set_title("gain of a choice (grey: what it costs)", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
