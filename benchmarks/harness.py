"""What the benchmarks share: a private Redis, processes, rounds, the machine, how results are kept.

A rate is only for comparing within one run: every script takes its rounds in turn (a round of each
contender, then the next round), so that a noisy minute of the machine hits all alike, and gives
medians with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import redis
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from miniqueue import __version__
from miniqueue.classroom.service import Service, free_port, redis_command
from miniqueue.settings import Settings

T = TypeVar("T")

HERE = Path(__file__).parent
sys.path.append(str(HERE / "drivers"))  # so that done.py and bench_tasks.py can be imported
PATIENCE_S = 120.0
BAR = 20  # characters


def parser(doc: str | None, *, rounds: int = 3) -> argparse.ArgumentParser:
    """The options of every benchmark: --rounds and --out; the module's docstring is its help."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--rounds", type=whole(1, 100), default=rounds, metavar="N", help="default: %(default)s"
    )
    made.add_argument(
        "--out",
        type=folder,
        default=Path("out"),
        help="folder of the results (default: %(default)s)",
    )
    return made


def number(
    made: argparse.ArgumentParser, name: str, low: int, high: int, usual: int, what: str
) -> None:
    """An option that is a whole number from `low` to `high`."""
    made.add_argument(
        name,
        type=whole(low, high),
        default=usual,
        metavar="N",
        help=f"{what} (default: %(default)s)",
    )


def parsed(
    made: argparse.ArgumentParser, argv: Sequence[str] | None, quick: str, **small: Any
) -> argparse.Namespace:
    """What was asked; with --quick, whose help is `quick`, one round and these smaller values."""
    made.add_argument("--quick", action="store_true", help=quick)
    args = made.parse_args(argv)
    if args.quick:
        vars(args).update(rounds=1, **small)
    return args


def whole(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that is a whole number; any other word ends the script with code 2."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(
                f"{text!r}: say a whole number from {low:,} to {high:,}"
            )
        return int(text)

    return parse


def wholes(low: int, high: int) -> Callable[[str], list[int]]:
    """The type of an option that is a list of them: 1,2,4."""
    one = whole(low, high)
    return lambda text: [one(word) for word in text.split(",")]


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option that is a list of these words: drain,memory."""

    def parse(text: str) -> list[str]:
        for word in (found := text.split(",")):
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r}: say one or more of {', '.join(known)}")
        return found

    return parse


def folder(text: str) -> Path:
    """The type of --out: what cannot be one is said before the work, not after."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file: say a folder")
    return path


def in_turn(contenders: Mapping[str, T], rounds: int, console: Console) -> Iterator[T]:
    """Each contender by its name, then each once more: the rounds, with a line of progress.

    The line is written between two measurements and never during one: a thread that draws a bar
    would take its share of the process, and of the CPU time, that is measured.
    """
    for number in range(rounds):
        for place, (name, contender) in enumerate(contenders.items()):
            share = (number * len(contenders) + place) / (rounds * len(contenders))
            show(console, share, f"round {number + 1} of {rounds}: {name}")
            yield contender
    show(console, 1, f"{rounds} round{'' if rounds == 1 else 's'} done")
    console.print()


def show(console: Console, share: float, what: str) -> None:
    """Write over the line that was shown before; where there is no terminal, a line below it."""
    full = int(share * BAR)
    bar = f"[green]{'━' * full}[/][dim]{'━' * (BAR - full)}[/]"
    text = escape(what[: console.width - BAR - 2].ljust(console.width - BAR - 2))
    console.print(f"{bar} {text}", end="\r" if console.is_terminal else "\n", highlight=False)


def surroundings(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is measured, with `more` in it.

    Python may keep bytecode: compiling its libraries anew adds 15 MB and a second to each start.
    """
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **more}


def bars(console: Console, width: int) -> Progress:
    """Progress for a script that does not measure itself; `width` is that of the words."""
    columns = (
        TextColumn(f"{{task.description:{width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


@dataclass
class Server:
    """A Redis that keeps nothing on disk and belongs to this run alone."""

    url: str
    pid: int
    raw: redis.Redis
    directory: Path
    _services: list[Service] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(redis_url=self.url)

    def empty(self) -> None:
        """Forget all data and all statistics."""
        self.raw.flushall()
        self.raw.config_resetstat()

    @contextlib.contextmanager
    def processes(
        self, command: Sequence[str], count: int = 1, environ: Mapping[str, str] | None = None
    ) -> Iterator[list[Service]]:
        """`count` processes of a command with MINIQUEUE_REDIS_URL set; they end with the block."""
        told = surroundings({"MINIQUEUE_REDIS_URL": self.url, **(environ or {})})
        path = os.pathsep.join(filter(None, (str(HERE / "drivers"), told.get("PYTHONPATH"))))
        told["PYTHONPATH"] = path
        made = [
            Service(f"p{i}", list(command), log=self.directory / f"p{i}.log", environ=told)
            for i in range(count)
        ]
        try:
            yield made
        finally:
            for service in made:
                service.ask_to_end()
            for service in made:
                service.join()

    def workers(
        self, count: int = 1, environ: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[list[Service]]:
        """Workers of miniqueue with the functions of drivers/bench_tasks.py."""
        command = [sys.executable, "-m", "miniqueue", "worker", "--import", "bench_tasks"]
        return self.processes(command, count, environ)

    def done_file(self) -> str:
        """A new file for done.mark(), in shared memory where there is some."""
        shared = Path("/dev/shm")
        folder = shared if shared.is_dir() else self.directory
        handle, path = tempfile.mkstemp(prefix="bench-", dir=folder)
        os.close(handle)
        return path

    def cpu_s(self) -> float:
        """CPU seconds that this Redis has used."""
        return cpu_s(self.pid)


@contextlib.contextmanager
def server(options: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Launch a Redis for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory, port = Path(name), free_port()
        command = redis_command(port, directory, options=options)
        service = Service("redis", command, log=directory / "redis.log")
        raw = redis.Redis(port=port, decode_responses=True)
        try:
            until(lambda: _answers(raw), "Redis answers", every_s=0.01)
            yield Server(f"redis://127.0.0.1:{port}/0", service.pid, raw, directory)
        finally:
            raw.close()
            service.ask_to_end()
            service.join()


def _answers(raw: redis.Redis) -> bool:
    with contextlib.suppress(redis.exceptions.ConnectionError):
        return bool(raw.ping())
    return False


def until(ready: Callable[[], bool], what: str, *, every_s: float = 0.005) -> None:
    """Wait until it is so; SystemExit, with `what`, after two minutes."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"gave up after {PATIENCE_S:g} s: {what}")
        time.sleep(every_s)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children so far, those that have ended included."""
    process = psutil.Process(pid)
    used = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(one.cpu_times()[:4])
    return used


def middle(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest, rounded to four digits."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def spread(values: Sequence[float]) -> str:
    """The same as words: 1,234 (1,100 to 1,300)."""
    return "{median:,g} ({low:,g} to {high:,g})".format(**middle(values))


def cell(values: Sequence[float]) -> str:
    """The same for a table: three digits, and the lowest and the highest in a second line."""
    shown = [f"{float(f'{value:.3g}'):,g}" for value in middle(values).values()]
    return f"{shown[0]}\n[dim]{shown[1]} to {shown[2]}[/]" if len(values) > 1 else shown[0]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, Any]:
    """What a reader must know of where the figures come from."""
    release = platform.release().partition("-")[0]
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {release} {platform.machine()}",
        "python": platform.python_version(),
        "miniqueue": __version__,
        "redis-py": redis.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def save(out: Path, name: str, told: Mapping[str, Any]) -> Path:
    """Write out/NAME.json with the machine on top."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **told}, indent=1) + "\n")
    return path


def picture(figure: Figure, out: Path, name: str) -> Path:
    """Write out/NAME.png, in the one style of all."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    path = out / f"{name}.png"
    figure.savefig(path, dpi=120)
    return path
