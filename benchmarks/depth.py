"""Depth: what an operation costs with a million tasks in the queue, beside a thousand.

    python benchmarks/depth.py --deep 1000000 --rounds 3
    python benchmarks/depth.py --quick                     the short version: 100,000 tasks

Two servers are up at once, one with a thousand tasks and one with --deep. Each operation is timed
on the one, then on the other, many times in turn, so that a noisy moment hits both: microseconds
with the round trips, through one client. What an operation adds or takes is made good after it, off
the clock, so the depth stays. Memory is read while the deep queue is filled. Inspector.check() is
left out: it is there to read every task. Writes depth.json and depth.png.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from bench_tasks import noop
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from miniqueue import Queue
from miniqueue.errors import MiniQueueError
from miniqueue.inspector import Inspector
from miniqueue.protocol.records import Completion

SHALLOW = 1000
BATCH = 64
GOAL = 1.5  # deep / shallow, at the most
STEPS = (1000, 10_000, 100_000, 1_000_000, 10_000_000)  # where memory is read
CHUNK = 10_000  # tasks between two looks of the progress bar
COLOURS = {True: "#30638e", False: "#d1495b"}  # within the goal or not


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two queues, with all that is asked of it."""

    server: harness.Server
    queue: Queue
    inspector: Inspector

    def memory(self) -> int:
        """Bytes in use, without the buffers of a connection that has just sent a lot."""
        self.queue.client.close()  # it connects again
        return int(self.server.raw.info("memory")["used_memory"])


@dataclass(frozen=True, slots=True)
class Operation:
    """What is timed: `sample` gives the seconds of one; `goal` is None where none is set."""

    name: str
    sample: Callable[[Side], float]
    goal: float | None = GOAL


@dataclass(frozen=True, slots=True)
class Pair:
    """The medians of a round, in microseconds."""

    operation: str
    shallow_us: float
    deep_us: float

    @property
    def ratio(self) -> float:
        return self.deep_us / self.shallow_us


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    try:
        with sides(2 * args.deep) as (shallow, deep):
            shallow.queue.enqueue_many(noop, [()] * SHALLOW)
            memory = fill(deep, args.deep, console)
            turns = harness.in_turn({o.name: o for o in OPERATIONS}, args.rounds, console)
            found = [sample(operation, shallow, deep, args.samples) for operation in turns]
    except MiniQueueError as error:
        print(f"depth.py: {error}", file=sys.stderr)
        return 1
    console.print(table(found, args.deep))
    for line in remarks(found, memory):
        console.print(line, highlight=False)
    told = told_of(found, memory)
    console.print(f"wrote {harness.save(args.out, 'depth', {'deep': args.deep, **told})}")
    console.print(f"wrote {draw(found, memory, args)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    deep = "tasks in the deep queue; a million take 0.3 GB"
    harness.number(made, "--deep", 10_000, 10_000_000, 1_000_000, deep)
    samples = "of each operation on each queue in a round"
    harness.number(made, "--samples", 5, 10_000, 60, samples)
    return harness.parsed(made, argv, "one round with 100,000 tasks", deep=100_000, samples=30)


@contextlib.contextmanager
def sides(max_queued: int) -> Iterator[list[Side]]:
    """Two servers, and a queue on each that may hold so many tasks."""
    with harness.server() as first, harness.server() as second:
        made = []
        for server in (first, second):
            queue = Queue(settings=server.settings.but(max_queued=max_queued))
            made.append(Side(server, queue, Inspector(queue)))
        try:
            yield made
        finally:
            for side in made:
                side.queue.client.close()


def fill(side: Side, count: int, console: Console) -> dict[int, int]:
    """Send so many tasks; gives the bytes that Redis holds at each step, more than with one task.

    The first task costs 120 kB that the next do not.
    """
    side.queue.enqueue(noop)
    empty, sent, found = side.memory(), 1, dict[int, int]()
    with Progress(console=console) as progress:
        bar = progress.add_task(f"filling a queue with {count:,} tasks", total=count)
        for step in sorted({*(s for s in STEPS if s < count), count}):
            while sent < step:
                size = min(CHUNK, step - sent)
                side.queue.enqueue_many(noop, [()] * size)
                sent += size
                progress.update(bar, completed=sent)
            found[step] = side.memory() - empty
    return found


# -- the operations --------------------------------------------------------------------------------


def enqueue(side: Side) -> float:
    """Tasks are sent one by one."""
    begun = time.perf_counter()
    for _ in range(BATCH):
        side.queue.enqueue(noop)
    took = time.perf_counter() - begun
    take_64(side)
    return took / BATCH


def claim_and_complete(side: Side) -> float:
    """64 tasks are claimed in one round trip and completed in another; the time of one task."""
    side.queue.enqueue_many(noop, [()] * BATCH)
    return timed(lambda: take_64(side)) / BATCH


def take_64(side: Side) -> None:
    protocol, client = side.queue.protocol, side.queue.client
    claims = client.run(protocol.claim("bench", BATCH))
    ended = [Completion(t.id, t.attempt, "null", claims.now_ms, 0.01) for t in claims.tasks]
    kept: list[int] = client.run(protocol.complete("bench", ended))
    if len(kept) != BATCH or not all(kept):
        raise SystemExit("depth.py: 64 tasks were to be claimed and completed, and were not")


def queues(side: Side) -> float:
    return timed(side.inspector.queues)


def tasks(side: Side) -> float:
    return timed(lambda: side.inspector.tasks("queued", limit=50))


def explain_next(side: Side) -> float:
    """Of the task that would be claimed next."""
    (task,) = side.inspector.tasks("queued", limit=1).tasks
    return timed(lambda: side.inspector.explain(task.id))


def explain_newest(side: Side) -> float:
    """Of the task at the end; Inspector seeks its place among the first 10,000."""
    task_id = side.queue.enqueue(noop).id
    took = timed(lambda: side.inspector.explain(task_id))
    side.queue.cancel(task_id)
    return took


def cancel_newest(side: Side) -> float:
    """Of the task at the end: Redis walks the list to take it out, which is known."""
    task_id = side.queue.enqueue(noop).id
    return timed(lambda: side.queue.cancel(task_id))


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


OPERATIONS = (
    Operation("claim and complete, by 64", claim_and_complete),
    Operation("enqueue, one by one", enqueue),
    Operation("queues()", queues),
    Operation("tasks('queued', limit=50)", tasks),
    Operation("explain(), next task", explain_next),
    Operation("explain(), newest task", explain_newest),
    Operation("cancel(), newest task", cancel_newest, goal=None),
)


def sample(operation: Operation, shallow: Side, deep: Side, count: int) -> Pair:
    """Medians of so many, by turns here and there, and who is first changes too.

    One more before them loads what must be loaded.
    """
    operation.sample(shallow), operation.sample(deep)
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(count):
        for which in (i % 2, 1 - i % 2):
            times[which].append(operation.sample((shallow, deep)[which]))
    return Pair(operation.name, *(statistics.median(own) * 1e6 for own in times))


# -- telling ---------------------------------------------------------------------------------------


def of(found: Sequence[Pair], operation: Operation) -> list[Pair]:
    return [pair for pair in found if pair.operation == operation.name]


def ratio(found: Sequence[Pair], operation: Operation) -> dict[str, float]:
    return harness.middle([pair.ratio for pair in of(found, operation)])


def told_of(found: Sequence[Pair], memory: dict[int, int]) -> dict[str, Any]:
    operations = {}
    for operation in OPERATIONS:
        own = of(found, operation)
        operations[operation.name] = {
            "goal": operation.goal,
            "shallow_us": harness.middle([pair.shallow_us for pair in own]),
            "deep_us": harness.middle([pair.deep_us for pair in own]),
            "ratio": ratio(found, operation),
        }
    sizes = {str(n): {"bytes": held, "bytes_a_task": held / n} for n, held in memory.items()}
    return {
        "shallow": SHALLOW,
        "operations": operations,
        "memory": sizes,
        "rounds": [asdict(pair) for pair in found],
    }


def table(found: Sequence[Pair], deep: int) -> Table:
    shown = Table(title="microseconds: median, lowest to highest", box=box.SIMPLE)
    shown.add_column("operation", no_wrap=True)
    for name in (f"{SHALLOW:,} tasks", f"{deep:,} tasks", "ratio"):
        shown.add_column(name, justify="right", no_wrap=True)
    for operation in OPERATIONS:
        own = of(found, operation)
        columns = ("shallow_us", "deep_us", "ratio")
        cells = [harness.cell([getattr(pair, name) for pair in own]) for name in columns]
        shown.add_row(operation.name, *cells)
    return shown


def remarks(found: Sequence[Pair], memory: dict[int, int]) -> list[str]:
    """Where the goal is missed, and how straight the line of memory is."""
    over = [o.name for o in OPERATIONS if not within(found, o) and o.goal]
    said = [
        f"Goal, at most {GOAL} times as much: " + (f"missed by {over}." if over else "reached.")
    ]
    sizes = ", ".join(f"{held / n:.0f} at {n:,}" for n, held in memory.items())
    return [*said, f"Bytes a queued task: {sizes}."]


def within(found: Sequence[Pair], operation: Operation) -> bool:
    return ratio(found, operation)["median"] <= GOAL


def draw(found: Sequence[Pair], memory: dict[int, int], args: argparse.Namespace) -> Path:
    """What grows with the depth and how much, and memory on its way."""
    figure = Figure(figsize=(12, 4.2))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_ratios(left, found)
    draw_memory(right, memory)
    flat = sum(within(found, operation) for operation in OPERATIONS)
    figure.suptitle(
        f"{args.deep:,} tasks in the queue instead of {SHALLOW:,}: "
        f"{flat} of {len(OPERATIONS)} operations cost at most {GOAL} times as much"
    )
    figure.tight_layout()
    return harness.picture(figure, args.out, "depth")


def draw_ratios(axis: Any, found: Sequence[Pair]) -> None:
    """A dot an operation; the words stand clear of the line that is the goal."""
    for place, operation in enumerate(OPERATIONS):
        grown, own = ratio(found, operation), of(found, operation)
        middle, colour = grown["median"], COLOURS[within(found, operation)]
        axis.hlines(place, 1, middle, color=colour, linewidth=4, alpha=0.4)
        spread = [[middle - grown["low"]], [grown["high"] - middle]]
        axis.errorbar(middle, place, xerr=spread, fmt="o", markersize=8, color=colour)
        was = statistics.median(pair.shallow_us for pair in own)
        now = statistics.median(pair.deep_us for pair in own)
        text = f"{middle:.2f}x: {was:,.0f} to {now:,.0f} us"
        axis.text(max(GOAL, grown["high"]) * 1.15, place, text, va="center", fontsize=9)
    axis.axvline(GOAL, color="black", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(OPERATIONS)), [operation.name for operation in OPERATIONS])
    axis.invert_yaxis()
    most = max(ratio(found, operation)["high"] for operation in OPERATIONS)
    axis.set_xscale("log")
    axis.set_xlim(0.8, max(most, GOAL) * 8)
    axis.xaxis.set_major_formatter("{x:g}x")
    axis.set_title(f"time, deep / shallow (dashed: the goal, {GOAL})", fontsize=9)


def draw_memory(axis: Any, memory: dict[int, int]) -> None:
    counts, megabytes = list(memory), [held / 1e6 for held in memory.values()]
    axis.plot(counts, megabytes, "o-", color=COLOURS[True])
    for n, held in memory.items():
        words = f"{held / n:.0f} bytes a task"
        axis.annotate(words, (n, held / 1e6), (10, -4), textcoords="offset points", fontsize=9)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(counts[0] / 2, counts[-1] * 20)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.tick_params(labelsize=8)
    axis.set_xlabel("tasks in the queue", fontsize=9)
    axis.set_title("memory of Redis, MB", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
