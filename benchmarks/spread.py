"""Spread: what one Redis carries, and what a cluster of them would, for so many queues.

    python benchmarks/spread.py --rounds 3
    python benchmarks/spread.py --quick                    the short version

Measured, on one Redis with one client: the CPU time of a call in Redis, sockets included, for tasks
sent by 1, 10 and 100, claimed and completed by 1, 8 and 64, and for a worker's beat.
Computed from that: how many tasks a second keep one node busy for 60 % of its time.
Simulated, with the measured times of single calls: how long calls take at a node, by how busy it is
(one server, first come first served, calls at random times).
Counted, with the real slots: what share of the load the busiest node gets, for so many queues of
equal load on so many nodes, with names that are unlike and names that are numbered.
No cluster is run: all nodes would share the cores of this machine. Writes spread.json, spread.png.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
from bench_tasks import noop
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue
from miniqueue.cluster import SLOTS, slot_of
from miniqueue.errors import MiniQueueError
from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Completion
from miniqueue.worker import Worker

SENT_BY, CLAIMED_BY = (1, 10, 100), (1, 8, 64)
BUSY = 0.6  # of a node's time, at the most: waits are short there, and a neighbour can fail
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NODES, QUEUES = (3, 6, 12, 48), (1, 3, 10, 30, 100, 300, 1000)
NAMINGS = 100  # sets of names that are looked at
SIMULATED = 200_000  # calls of one simulation
PLANS = (10_000, 1_000_000)  # tasks a second
COLOURS = ("#30638e", "#d1495b", "#edae49", "#00798c")
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kind:
    """A call that is measured; `tasks` in each, 0 for a beat."""

    name: str
    tasks: int
    send: Callable[[Desk], None]
    prepare: Callable[[Desk, int], None]  # so that so many calls find what they need


class Desk:
    """A queue on a server, and what is asked of it."""

    def __init__(self, server: harness.Server) -> None:
        self.server = server
        self.queue = Queue(settings=server.settings)
        self.worker = Worker(self.queue, name="w0")
        self.held: list[Completion] = []

    def fill(self, count: int) -> None:
        for _ in range(math.ceil(count / 1000)):
            self.queue.enqueue_many(noop, [()] * 1000)

    def enqueue(self, count: int) -> None:
        self.queue.enqueue_many(noop, [()] * count)

    def turn(self, count: int) -> None:
        """What a busy worker sends: the results of the last tasks, and a claim of the next."""
        protocol = self.queue.protocol
        calls: list[Call[Any]] = [protocol.complete("w0", self.held)] if self.held else []
        claims = self.queue.client.run_many([*calls, protocol.claim("w0", count)])[-1]
        self.held = [Completion(t.id, t.attempt, "null", claims.now_ms, 1) for t in claims.tasks]


@dataclass(frozen=True, slots=True)
class Sample:
    """`cpu_us` of Redis a call; `single_us`: of its scripts alone, call by call."""

    cpu_us: float
    single_us: Times


KINDS = (
    *(
        Kind(f"enqueue, {n} a call", n, lambda desk, n=n: desk.enqueue(n), lambda *_: None)  # type: ignore[misc]
        for n in SENT_BY
    ),
    *(
        Kind(
            f"complete and claim, {n} a call",
            n,
            lambda desk, n=n: desk.turn(n),  # type: ignore[misc]
            lambda desk, calls, n=n: desk.fill(calls * n),  # type: ignore[misc]
        )
        for n in CLAIMED_BY
    ),
    Kind("beat of a worker", 0, lambda desk: desk.worker.beat(), lambda *_: None),
)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    found: dict[str, list[Sample]] = {kind.name: [] for kind in KINDS}
    try:
        for kind in harness.in_turn({k.name: k for k in KINDS}, args.rounds, console):
            found[kind.name].append(measure(kind, args.calls))
    except MiniQueueError as error:
        print(f"spread.py: {error}", file=sys.stderr)
        return 1
    told = told_of(found, np.random.default_rng(args.seed))
    for shown in tables(told):
        console.print(shown)
    beat = told["redis us a call"]["beat of a worker"]["median"]
    share = beat / 1e4  # of a second, in percent
    console.print(
        f"A worker's beat takes {beat:,.0f} us of Redis a second: {share:.2g} % of a node."
    )
    console.print(f"wrote {harness.save(args.out, 'spread', {'calls': args.calls, **told})}")
    console.print(f"wrote {draw(told, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    harness.number(made, "--calls", 20, 100_000, 400, "of each kind in a round")
    harness.number(made, "--seed", 0, 2**31, 1, "of the simulation")
    return harness.parsed(made, argv, "one round with 100 calls of each kind", calls=100)


# -- measuring -------------------------------------------------------------------------------------


def measure(kind: Kind, calls: int) -> Sample:
    """Twice so many calls on a server of their own: once for the CPU time, once call by call."""
    with harness.server() as server:
        desk = Desk(server)
        kind.prepare(desk, 2 * calls + 10)
        for _ in range(10):
            kind.send(desk)
        before = used_us(server)
        for _ in range(calls):
            kind.send(desk)
        cpu_us = (used_us(server) - before) / calls
        server.raw.config_set("slowlog-max-len", 20 * calls)
        server.raw.config_set("slowlog-log-slower-than", 0)
        for _ in range(calls):
            kind.send(desk)
        server.raw.config_set("slowlog-log-slower-than", -1)
        log: Any = server.raw.slowlog_get(20 * calls)
        desk.queue.client.close()
    took = [entry["duration"] for entry in log if entry["command"].startswith(b"EVALSHA")]
    scripts = max(1, round(len(took) / calls))  # in one call
    whole = [sum(took[i : i + scripts]) for i in range(0, len(took) - scripts + 1, scripts)]
    return Sample(cpu_us, np.array(whole, dtype=np.float64))


def used_us(server: harness.Server) -> float:
    """CPU time of Redis' main thread so far."""
    told: Any = server.raw.info("cpu")
    return 1e6 * float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])


# -- computing -------------------------------------------------------------------------------------


def told_of(found: dict[str, list[Sample]], chance: np.random.Generator) -> dict[str, Any]:
    kinds = {kind.name: kind for kind in KINDS}
    calls = {name: harness.middle([s.cpu_us for s in own]) for name, own in found.items()}
    cost = {name: statistics.median(s.cpu_us for s in own) for name, own in found.items()}
    a_task = {name: us / kinds[name].tasks for name, us in cost.items() if kinds[name].tasks}
    ways = {
        f"sent by {sent}, claimed by {claimed}": round(
            a_task[f"enqueue, {sent} a call"] + a_task[f"complete and claim, {claimed} a call"], 1
        )
        for sent, claimed in ((1, 1), (1, 64), (10, 64), (100, 64))
    }
    return {
        "busy": BUSY,
        "redis us a call": calls,
        "ways": {way: carried(us) for way, us in ways.items()},
        "waits": waits(found, cost, chance),
        "spread": busiest(unlike),
        "spread, numbered": busiest(numbered),
        "plans": {str(p): {way: nodes(us, p) for way, us in ways.items()} for p in PLANS},
    }


def carried(us: float) -> dict[str, float]:
    """What a node carries at `us` a task, all of its time or as much as it should."""
    return {"redis us a task": us, "most": round(1e6 / us), "at busy": round(BUSY * 1e6 / us)}


def nodes(us: float, rate: int) -> int:
    """How many nodes carry so many tasks a second, if the load were even."""
    return math.ceil(rate * us / (BUSY * 1e6))


def waits(
    found: dict[str, list[Sample]], cost: dict[str, float], chance: np.random.Generator
) -> dict[str, dict[str, float]]:
    """How long a call takes at a node, by how busy it is, ms: tasks sent by 10, claimed by 64."""
    sent, claimed = "enqueue, 10 a call", "complete and claim, 64 a call"
    shares = {sent: 64 / 74, claimed: 10 / 74}  # 64 calls of ten and 10 of 64 are as many tasks
    times = [
        chance.choice(serving(found[name], cost[name]), round(share * SIMULATED))
        for name, share in shares.items()
    ]
    service = chance.permutation(np.concatenate(times))
    told = {}
    for load in LOADS:
        took = node(service, load, chance) / 1000
        p50, p99, p999 = (float(np.quantile(took, q)) for q in (0.5, 0.99, 0.999))
        told[str(load)] = {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999}
    return {load: {k: round(v, 3) for k, v in row.items()} for load, row in told.items()}


def serving(samples: Sequence[Sample], cost_us: float) -> Times:
    """Times of single calls: those of the scripts, and what the rest of a call takes on average."""
    single = np.concatenate([sample.single_us for sample in samples])
    return single + max(0.0, cost_us - float(single.mean()))


def node(service: Times, load: float, chance: np.random.Generator) -> Times:
    """How long each call takes at one server that is busy for this share of its time (Lindley)."""
    between = chance.exponential(float(service.mean()) / load, len(service))
    steps = np.concatenate([[0.0], service[:-1] - between[1:]])
    walk = np.cumsum(steps)
    waited: Times = walk - np.minimum.accumulate(walk)
    return waited + service


def numbered(naming: int, queue: int) -> str:
    """As one would name the parts of a large queue."""
    return f"part{naming}-{queue}"


def unlike(naming: int, queue: int) -> str:
    """Names that have nothing to do with each other."""
    return hashlib.sha256(f"{naming} {queue}".encode()).hexdigest()[:8]


def busiest(name: Callable[[int, int], str]) -> dict[str, dict[str, dict[str, float]]]:
    """The share of the load that the busiest node has, over many sets of names: nodes, queues."""
    sets = [
        [slot_of(f"{{{name(naming, i)}}}") for i in range(max(QUEUES))] for naming in range(NAMINGS)
    ]
    return {
        str(count): {str(queues): busiest_of(sets, queues, count) for queues in QUEUES}
        for count in NODES
    }


def busiest_of(sets: Sequence[Sequence[int]], queues: int, count: int) -> dict[str, float]:
    shares = []
    for slots in sets:
        owners = [slot * count // SLOTS for slot in slots[:queues]]
        shares.append(int(np.bincount(owners, minlength=count).max()) / queues)
    return harness.middle(shares)


# -- telling ---------------------------------------------------------------------------------------


def tables(told: dict[str, Any]) -> list[Table]:
    one = Table("way", "Redis us a task", f"tasks/s at {BUSY:.0%}", "at 100 %", box=box.SIMPLE)
    for way, row in told["ways"].items():
        figures = (row["redis us a task"], row["at busy"], row["most"])
        one.add_row(way, *(f"{figure:,}" for figure in figures))
    wait = Table("busy", "p50 ms", "p99 ms", "p99.9 ms", box=box.SIMPLE)
    for load, row in told["waits"].items():
        wait.add_row(f"{float(load):.0%}", *(f"{value:.2f}" for value in row.values()))
    share = Table("nodes, names", *(f"{q:,}" for q in QUEUES), title="queues", box=box.SIMPLE)
    for names, word in (("spread", "unlike"), ("spread, numbered", "numbered")):
        for count, row in told[names].items():
            share.add_row(f"{count}, {word}", *(f"{times(own):.1f}x" for own in row.values()))
    plan = Table("tasks/s", *told["ways"], box=box.SIMPLE)
    for rate, row in told["plans"].items():
        plan.add_row(f"{int(rate):,}", *(f"{count:,} nodes" for count in row.values()))
    return [one, wait, share, plan]


def times(share: dict[str, float]) -> float:
    """How many times the load of one node a cluster carries, when its busiest has this share."""
    return 1 / share["median"]


def draw(told: dict[str, Any], out: Path) -> Path:
    figure = Figure(figsize=(13, 4.2))
    left, middle, right = figure.subplots(1, 3)
    ways = told["ways"]
    left.barh(list(ways), [row["at busy"] for row in ways.values()], color=COLOURS[0])
    for place, row in enumerate(ways.values()):
        left.text(row["at busy"], place, f" {row['at busy']:,}", va="center", fontsize=9)
    left.set_xlim(0, 1.25 * max(row["at busy"] for row in ways.values()))
    left.invert_yaxis()
    left.set_title(f"tasks/s that keep one Redis {BUSY:.0%} busy (measured)", fontsize=9)
    for colour, word in zip(COLOURS, ("p50", "p99", "p99.9"), strict=False):
        values = [row[f"{word.replace('.', '')}_ms"] for row in told["waits"].values()]
        middle.plot([100 * load for load in LOADS], values, "o-", color=colour, label=word)
    middle.set_yscale("log")
    middle.yaxis.set_major_formatter("{x:g}")
    middle.set_xlabel("busy, %")
    middle.set_title("ms that a call takes at a node (simulated)", fontsize=9)
    middle.legend(frameon=False)
    for colour, (count, row) in zip(COLOURS, told["spread"].items(), strict=False):
        carried = [times(share) for share in row.values()]
        right.plot(QUEUES, carried, "o-", color=colour, label=f"{count} nodes")
    right.set_xscale("log")
    right.set_yscale("log")
    right.xaxis.set_major_formatter("{x:,g}")
    right.yaxis.set_major_formatter("{x:g}")
    right.set_xlabel("queues of equal load")
    right.set_title("times the load of one node (names unlike)", fontsize=9)
    right.legend(frameon=False)
    figure.tight_layout()
    return harness.picture(figure, out, "spread")


if __name__ == "__main__":
    sys.exit(main())
