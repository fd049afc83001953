"""What is measured of each contender, in the same way for all; the definitions are the docstrings.

Everything is bounded in time: a contender that hangs or fails raises GaveUp, with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import psutil
from done import times

from comparison.contenders import Contender
from comparison.environments import python_of
from miniqueue.classroom.service import Service
from miniqueue.errors import StackError

__all__ = ["FIGURES", "MEASURES", "Bench", "Figure", "GaveUp", "applies", "take"]

PATIENCE_S = 60.0
SETTLE_S = 0.3  # for the last results to be written once the last task has run
ROUND_TRIPS = 300
IDLE_S = 10.0
MB = 1e6


class GaveUp(Exception):
    """A contender did not do what was asked, or not in time; the message is for its row."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: which measure gives it, and whether less is better."""

    measure: str
    title: str
    less: bool = True


FIGURES = {
    "enqueue": Figure("enqueue", "enqueue, /s", less=False),
    "bulk": Figure("bulk", "bulk, /s", less=False),
    "drain_1": Figure("drain", "drain, /s (1 worker)", less=False),
    "drain_2": Figure("drain", "drain, /s (2 workers)", less=False),
    "p50_ms": Figure("roundtrip", "round trip p50, ms"),
    "p99_ms": Figure("roundtrip", "round trip p99, ms"),
    "bytes_queued": Figure("memory", "bytes a queued task"),
    "bytes_finished": Figure("memory", "bytes a finished task"),
    "startup_s": Figure("startup", "start-up, s"),
    "idle_cpu_s": Figure("idle", "idle CPU, s in 10 s"),
    "rss_mb": Figure("idle", "RSS, MB"),
    "commands": Figure("commands", "commands a task"),
    "trips": Figure("commands", "round trips a task"),
    "redis_us": Figure("drain", "Redis CPU, us a task"),
    "worker_us": Figure("drain", "worker CPU, us a task"),
}
MEASURES = tuple(dict.fromkeys(figure.measure for figure in FIGURES.values()))


def applies(contender: Contender, measure: str) -> bool:
    """Whether a contender has what a measure looks at: a bulk call, results, a real worker."""
    if measure == "bulk":
        return contender.bulk != "-"
    if measure == "roundtrip":
        return contender.waits
    return not (contender.is_limit and measure in ("startup", "idle"))


class Bench:
    """A contender on a server: its driver as a client, its workers. Makes its environment."""

    def __init__(
        self, server: harness.Server, contender: Contender, *, tasks: int, envs: Path
    ) -> None:
        self.server = server
        self.contender = contender
        self.tasks = max(50, int(tasks * contender.share))
        if contender.requires:
            self._python = python_of(envs / contender.driver, contender.requires)
            self._environ = {"PYTHONPATH": ""}  # nothing of ours in its way
        else:
            self._python = sys.executable
            self._environ = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        self._environ |= {"MINIQUEUE_REDIS_URL": server.url, "BENCH_SETTING": contender.setting}
        self._about = self.client("about")

    @property
    def version(self) -> str:
        """Of the library that is measured; of redis-py where there is none."""
        versions: Mapping[str, str] = self._about["versions"]
        library = "redis" if self.contender.is_limit else self.contender.driver[len("with_") :]
        return versions.get(library, "?")

    def client(self, what: str, count: int = 0) -> dict[str, Any]:
        """Run the driver; what it tells."""
        script = harness.HERE / "drivers" / f"{self.contender.driver}.py"
        command = [self._python, str(script), what, str(count)]
        environ = harness.surroundings(self._environ)
        try:
            done = subprocess.run(
                command, env=environ, capture_output=True, text=True, timeout=PATIENCE_S
            )
        except subprocess.TimeoutExpired:
            raise GaveUp(f"{what} took longer than {PATIENCE_S:g} s") from None
        if done.returncode:
            raise GaveUp(f"{what} failed: {last_line(done.stderr)}")
        told: dict[str, Any] = json.loads(last_line(done.stdout))
        return told

    @contextlib.contextmanager
    def workers(self, count: int = 1) -> Iterator[Crew]:
        """So many worker processes, for the length of the block."""
        path = self.server.done_file()
        environ = {**self._environ, **self._about["environ"], "BENCH_DONE": path}
        try:
            with self.server.processes(self._about["worker"], count, environ) as services:
                yield Crew(services, path)
        except StackError as error:
            raise GaveUp(f"no worker: {error}") from None
        finally:
            os.unlink(path)


@dataclass(frozen=True, slots=True)
class Crew:
    """Running workers, and the file that counts what they have done."""

    services: Sequence[Service]
    path: str

    @property
    def count(self) -> int:
        return os.path.getsize(self.path) // 8

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes, those that have ended (a fork a task) included."""
        return sum(harness.cpu_s(service.pid) for service in self.services)

    @property
    def rss_mb(self) -> float:
        return sum(process.memory_info().rss for process in self.processes()) / MB

    def processes(self) -> list[psutil.Process]:
        roots = [psutil.Process(service.pid) for service in self.services]
        return [one for root in roots for one in (root, *root.children(recursive=True))]

    def wait(self, count: int, every_s: float = 0.005) -> None:
        """Until so many tasks have run."""
        end = time.monotonic() + PATIENCE_S
        while self.count < count:
            for service in self.services:
                if not service.running:
                    raise GaveUp(f"a worker ended: {last_line(service.tail())}")
            if time.monotonic() > end:
                raise GaveUp(f"{self.count} of {count} tasks were done in {PATIENCE_S:g} s")
            time.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Moment:
    """Counters at one moment of a drain."""

    count: int
    redis_s: float
    worker_s: float
    commands: int
    trips: int

    @classmethod
    def now(cls, server: harness.Server, crew: Crew) -> Moment:
        calls = sum(stat["calls"] for stat in server.raw.info("commandstats").values())
        reads = server.raw.info("stats").get("total_reads_processed", 0)
        return cls(crew.count, server.cpu_s(), crew.cpu_s, calls, reads)


def enqueue(bench: Bench) -> dict[str, float]:
    """Tasks a second that one client sends, one call a task, the next when the last is answered."""
    bench.server.empty()
    return {"enqueue": bench.client("enqueue", bench.tasks)["rate"]}


def bulk(bench: Bench) -> dict[str, float]:
    """The same with the library's own bulk call, or with 16 calls in one asyncio.gather."""
    bench.server.empty()
    return {"bulk": bench.client("bulk", bench.tasks)["rate"]}


def drain_1(bench: Bench) -> dict[str, float]:
    return drain(bench, 1)


def drain_2(bench: Bench) -> dict[str, float]:
    return {"drain_2": drain(bench, 2)["drain_1"]}


def drain(bench: Bench, workers: int) -> dict[str, float]:
    """A queue is filled, then the workers start: tasks a second from the first done to the last.

    CPU, commands (those inside scripts too) and round trips are counted from the first task on,
    so that the start of the worker is not in them. Bytes are what Redis holds with the queue full,
    and after, less what it holds with one task: the first costs it 120 kB that the next do not.
    """
    server = bench.server
    server.empty()
    bench.client("enqueue", 1)
    empty = memory(server)
    bench.client("enqueue" if bench.contender.bulk == "-" else "bulk", bench.tasks)
    full = memory(server)
    with bench.workers(workers) as crew:
        crew.wait(1, every_s=0.001)
        first = Moment.now(server, crew)
        crew.wait(bench.tasks + 1)
        time.sleep(SETTLE_S)
        last = Moment.now(server, crew)
        done = times(crew.path)
    counted = max(1, last.count - first.count)
    return {
        "drain_1": (len(done) - 1) / (done[-1] - done[0]),
        "bytes_queued": (full - empty) / bench.tasks,
        "bytes_finished": (memory(server) - empty) / bench.tasks,
        "redis_us": (last.redis_s - first.redis_s) * 1e6 / counted,
        "worker_us": (last.worker_s - first.worker_s) * 1e6 / counted,
        "commands": (last.commands - first.commands) / counted,
        "trips": (last.trips - first.trips) / counted,
    }


def roundtrip(bench: Bench) -> dict[str, float]:
    """Milliseconds from sending a task to an idle worker to having its result; one at a time."""
    with busy_once(bench):
        ms = bench.client("roundtrip", ROUND_TRIPS)["ms"]
    return {"p50_ms": harness.quantile(ms, 0.5), "p99_ms": harness.quantile(ms, 0.99)}


def startup(bench: Bench) -> dict[str, float]:
    """Seconds from starting a worker to the end of the one task that waits for it."""
    bench.server.empty()
    bench.client("enqueue", 1)
    start = time.monotonic()
    with bench.workers() as crew:
        crew.wait(1)
        return {"startup_s": times(crew.path)[0] - start}


def idle(bench: Bench) -> dict[str, float]:
    """CPU seconds of a worker and its children in 10 s without tasks, and their memory."""
    with busy_once(bench) as crew:
        time.sleep(SETTLE_S)
        before = crew.cpu_s
        time.sleep(IDLE_S)
        return {"idle_cpu_s": crew.cpu_s - before, "rss_mb": crew.rss_mb}


@contextlib.contextmanager
def busy_once(bench: Bench) -> Iterator[Crew]:
    """A worker that is known to be ready, because it has run a task."""
    bench.server.empty()
    with bench.workers() as crew:
        bench.client("enqueue", 1)
        crew.wait(1)
        yield crew


def memory(server: harness.Server) -> int:
    time.sleep(0.1)  # for the buffers of clients that have left
    return int(server.raw.info("memory")["used_memory"])


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was said"])[-1]


STEPS: tuple[tuple[frozenset[str], Callable[[Bench], dict[str, float]]], ...] = (
    (frozenset({"enqueue"}), enqueue),
    (frozenset({"bulk"}), bulk),
    (frozenset({"drain", "memory", "commands"}), drain_1),
    (frozenset({"drain"}), drain_2),
    (frozenset({"roundtrip"}), roundtrip),
    (frozenset({"startup"}), startup),
    (frozenset({"idle"}), idle),
)


def take(bench: Bench, wanted: Set[str]) -> tuple[dict[str, float], dict[str, str]]:
    """One round of a contender: its figures by name, and why a measure gave none."""
    wanted = {measure for measure in wanted if applies(bench.contender, measure)}
    figures: dict[str, float] = {}
    problems: dict[str, str] = {}
    for gives, step in STEPS:
        if gives & wanted:
            try:
                figures |= step(bench)
            except GaveUp as problem:
                problems |= dict.fromkeys(sorted(gives & wanted), str(problem))
    return {name: figures[name] for name in FIGURES if useful(name, figures, wanted)}, problems


def useful(name: str, figures: Mapping[str, float], wanted: Set[str]) -> bool:
    return name in figures and FIGURES[name].measure in wanted
