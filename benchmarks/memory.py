"""Memory: the bytes that Redis holds for a task, waiting or ended, and where they go.

    python benchmarks/memory.py --tasks 5000 --rounds 3
    python benchmarks/memory.py --quick                      the short version

So many tasks of a kind are sent, and run where they shall end; what Redis holds then (used_memory),
less what it held with one, is shared among them. Then one thing after another is taken away, and
what Redis gives back is that thing's part: the events; the entry of the list or the sorted set that
names the task; the expiry; the fields of the hash (each hash is replaced by a 1). The rest is the
key: its name and its place among the keys. Events are told apart from the sum, since a queue keeps
some 10,000 entries and no more. Writes memory.json and memory.png.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from comparison.measures import memory
from matplotlib.figure import Figure
from redis.exceptions import ResponseError
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue, task
from miniqueue.protocol.keys import QueueKeys
from miniqueue.registry import Registry, TaskFunction
from miniqueue.worker import Worker

REGISTRY = Registry()
AT_A_TIME = 100  # commands in a pipeline: a client's long buffers would be measured too
READINGS = 20  # at the most, until two are alike
PARTS = {  # in the order in which they are taken away; the key is what is left
    "events": "#d8d8d8",
    "index": "#edae49",
    "expiry": "#8d99ae",
    "fields": "#d1495b",
    "key": "#30638e",
}
ORDER = ("fields", "key", "index", "expiry", "events")  # in table and picture


@task(registry=REGISTRY)
def noop(text: str = "") -> None:
    """Nothing."""


@task(registry=REGISTRY, max_attempts=1)
def fail() -> None:
    raise RuntimeError("it fails, as asked")


@dataclass(frozen=True, slots=True)
class Held:
    """A queue, its keys, and the server whose memory is read."""

    server: harness.Server
    queue: Queue

    @property
    def keys(self) -> QueueKeys:
        return QueueKeys(self.queue.settings.namespace, self.queue.name)

    def read(self) -> int:
        """Bytes in use, once Redis has given back what it gives back in its spare time."""
        self.queue.client.close()  # its buffers are not the tasks'; it connects again
        last, now = -1, memory(self.server)
        for _ in range(READINGS):
            if last == now:
                break
            last, now = now, memory(self.server)
        return now


@dataclass(frozen=True, slots=True)
class Kind:
    """Tasks of a kind: `fill` sends so many, and runs them if they shall have ended."""

    name: str
    function: TaskFunction[..., None]
    fill: Callable[[Held, Kind, int], None]
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes a task, by part; how Redis keeps the hash."""

    kind: str
    bytes: dict[str, float]
    encoding: str

    @property
    def kept(self) -> float:
        """All but the events."""
        return sum(size for part, size in self.bytes.items() if part != "events")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    with harness.server() as server:
        no_histograms(server)
        queue = Queue(settings=server.settings, registry=REGISTRY)
        with contextlib.closing(queue.client):
            held = Held(server, queue)
            kinds = harness.in_turn({kind.name: kind for kind in KINDS}, args.rounds, console)
            found = [measure(held, kind, args.tasks) for kind in kinds]
    console.print(table(found, args.tasks))
    for line in remarks(found):
        console.print(line, highlight=False)
    console.print(f"wrote {harness.save(args.out, 'memory', told_of(found, args))}")
    console.print(f"wrote {draw(found, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    harness.number(made, "--tasks", 1000, 100_000, 5000, "of a kind")
    return harness.parsed(made, argv, "one round of 1000 tasks", tasks=1000)


def no_histograms(server: harness.Server) -> None:
    """Redis keeps one of the latency of each command: 20 kB at its first use, none of a task's."""
    with contextlib.suppress(ResponseError):  # before Redis 7 there were none
        server.raw.config_set("latency-tracking", "no")


# -- the kinds of tasks ----------------------------------------------------------------------------


def send(held: Held, kind: Kind, count: int) -> None:
    held.queue.enqueue_many(kind.function, [kind.args] * count)


def send_and_run(held: Held, kind: Kind, count: int) -> None:
    """A worker in this process runs them: another would have buffers of its own."""
    send(held, kind, count)
    worker = Worker(held.queue, REGISTRY)
    while worker.run_once():
        pass


KINDS = (
    *(
        Kind(f"{state}, {size} bytes" if size else state, noop, fill, ("x" * size,) if size else ())
        for state, fill in (("queued", send), ("finished", send_and_run))
        for size in (0, 100, 1000)
    ),
    Kind("scheduled", noop.options(delay_s=3600), send),
    Kind("failed", fail, send_and_run),
)
QUEUED, FINISHED = KINDS[0], KINDS[3]


# -- measuring -------------------------------------------------------------------------------------


def measure(held: Held, kind: Kind, tasks: int) -> Sample:
    """Fill, read, then take one thing after another away; the first task is not counted."""
    held.server.empty()
    kind.fill(held, kind, 1)
    one = held.read()
    kind.fill(held, kind, tasks)
    found = [str(key) for key in held.server.raw.scan_iter(held.keys.task("*"), count=1000)]
    if len(found) != tasks + 1:
        raise SystemExit(f"memory.py: {tasks + 1} tasks were sent, Redis has {len(found)}")
    encoding = str(held.server.raw.object("encoding", found[-1]))
    sizes = [held.read()]
    for take_away in TAKEN.values():
        take_away(held, found)
        sizes.append(held.read())
    parts = {
        part: (before - after) / tasks
        for part, before, after in zip(TAKEN, sizes, sizes[1:], strict=False)
    }
    parts["key"] = (sizes[0] - one) / tasks - sum(parts.values())
    return Sample(kind.name, parts, encoding)


def no_events(held: Held, found: Sequence[str]) -> None:
    held.server.raw.delete(held.keys.events)


def no_index(held: Held, found: Sequence[str]) -> None:
    keys = held.keys
    held.server.raw.delete(*keys.ready, keys.scheduled, keys.finished, keys.failed)


def no_expiry(held: Held, found: Sequence[str]) -> None:
    of_each(held, found, "PERSIST")


def no_fields(held: Held, found: Sequence[str]) -> None:
    """A small number takes no memory but its key's."""
    of_each(held, found, "SET", "1")


def of_each(held: Held, found: Sequence[str], command: str, *words: str) -> None:
    for at in range(0, len(found), AT_A_TIME):
        with held.queue.client.raw.pipeline(transaction=False) as pipe:
            for key in found[at : at + AT_A_TIME]:
                pipe.execute_command(command, key, *words)
            pipe.execute()


TAKEN: dict[str, Callable[[Held, Sequence[str]], None]] = {
    "events": no_events,
    "index": no_index,
    "expiry": no_expiry,
    "fields": no_fields,
}


# -- telling ---------------------------------------------------------------------------------------


def of(found: Sequence[Sample], kind: Kind) -> list[Sample]:
    return [sample for sample in found if sample.kind == kind.name]


def part(found: Sequence[Sample], kind: Kind, name: str) -> list[float]:
    return [sample.bytes[name] for sample in of(found, kind)]


def kept(found: Sequence[Sample], kind: Kind) -> float:
    return statistics.median(sample.kept for sample in of(found, kind))


def told_of(found: Sequence[Sample], args: argparse.Namespace) -> dict[str, Any]:
    kinds = {}
    for kind in KINDS:
        own = of(found, kind)
        kinds[kind.name] = {
            "bytes": harness.middle([sample.kept for sample in own]),
            "encoding": own[0].encoding,
            **{name: harness.middle(part(found, kind, name)) for name in ORDER},
        }
    return {"tasks": args.tasks, "kinds": kinds}


def table(found: Sequence[Sample], tasks: int) -> Table:
    """The parts by their medians alone: they differ from round to round by a byte or two."""
    title = f"bytes a task, of {tasks:,}: median, lowest to highest; and its parts"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    shown.add_column("task, its arguments", no_wrap=True)
    for name in ("in all", *ORDER[:-1], "and events"):
        shown.add_column(name, justify="right")
    for kind in KINDS:
        own = of(found, kind)
        cells = [f"{statistics.median(part(found, kind, name)):,.0f}" for name in ORDER]
        name = f"{kind.name}\n[dim]{own[0].encoding}[/]"
        shown.add_row(name, harness.cell([sample.kept for sample in own]), *cells)
    return shown


def remarks(found: Sequence[Sample]) -> list[str]:
    """What arguments cost, and where they make Redis keep the hash in another way."""
    said = []
    for kind in (kind for kind in KINDS if kind.args):
        base = QUEUED if kind.fill is send else FINISHED
        was, now = (of(found, one)[0].encoding for one in (base, kind))
        more = kept(found, kind) - kept(found, base)
        line = f"{kind.name}: {more:,.0f} more than without arguments"
        said.append(line + ("." if was == now else f" (the hash is a {now}, not a {was})."))
    return said


def draw(found: Sequence[Sample], out: Path) -> Path:
    """A bar a kind, made of its parts."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axis = figure.subplots()
    most = max(sum(sample.bytes.values()) for sample in found)
    for place, kind in enumerate(KINDS):
        at = 0.0
        for name in ORDER:
            size = statistics.median(part(found, kind, name))
            label = name if place == 0 else None
            axis.barh(place, size, left=at, color=PARTS[name], label=label)
            if size > most * 0.03:
                colour = "white" if name in ("fields", "key") else "black"
                axis.text(at + size / 2, place, f"{size:.0f}", ha="center", va="center",
                          fontsize=8, color=colour)  # fmt: skip
            at += size
        axis.text(
            at + most * 0.01, place, f"{kept(found, kind):,.0f}", va="center", fontweight="bold"
        )
    axis.set_yticks(range(len(KINDS)), [kind.name for kind in KINDS])
    axis.invert_yaxis()
    axis.set_xlim(0, most * 1.1)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("bytes a task; bold: without the events, which are capped", fontsize=9)
    axis.legend(frameon=False, loc="lower right")
    figure.suptitle(
        f"Redis holds {kept(found, QUEUED):,.0f} bytes for a queued no-op task and "
        f"{kept(found, FINISHED):,.0f} for a finished one"
    )
    return harness.picture(figure, out, "memory")


if __name__ == "__main__":
    sys.exit(main())
