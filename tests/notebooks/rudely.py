"""Rudely: run the cells of a notebook in a real kernel as nobody should, and keep what was shown.

    MINIQUEUE_CI=1 python -m tests.notebooks.rudely notebooks/00-start-the-system.ipynb

What it keeps of each cell is the text of its error, as a learner sees it. `deep()` says which of
them come from deep inside a library.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.processes import marked

NB: Any = nbformat  # its functions carry no types
CELL_S = 100.0
GONE_S = 20.0
LONG_S = 0.4  # a cell that takes longer is worth being stopped in the middle
IMPORT = "import miniqueue.classroom"  # from here on errors are short; before, Python shows its own
COLOUR = re.compile(r"\x1b\[[\d;]*m")
INSIDE = re.compile(r"^File \S*(?:site-packages|/lib/python|miniqueue/\w+[./])", re.M)
WARNS = re.compile(r"\w*Warning: ")


@dataclass(frozen=True)
class Shown:
    """What one run of a cell showed: an error, a warning, or nothing of that kind."""

    cell: int
    how: str
    error: str
    printed: str
    seconds: float

    def __str__(self) -> str:
        return f"cell {self.cell}, {self.how}:\n{self.error}{self.printed}"


def deep(shown: list[Shown]) -> list[Shown]:
    """Those that show frames of a library, or a warning."""
    return [s for s in shown if INSIDE.search(s.error) or WARNS.search(s.printed)]


def code_of(path: Path) -> list[tuple[int, str]]:
    """Number and text of each code cell."""
    cells = NB.read(path, as_version=4).cells
    return [(at, cell.source) for at, cell in enumerate(cells) if cell.cell_type == "code"]


class Kernel:
    """A kernel in the folder of the notebooks; all that it starts inherits `mark` (TMPDIR)."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.mark = mark
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, "TMPDIR": mark})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, cell: int, text: str, how: str, stop_after_s: float | None = None) -> Shown:
        """Run a cell; press the stop button after so many seconds, where it still runs."""
        errors: list[str] = []
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                errors.append(COLOUR.sub("", "\n".join(content["traceback"])))
            elif message["msg_type"] == "stream":
                printed.append(content["text"])

        began = time.monotonic()
        button = threading.Timer(stop_after_s or CELL_S, self.press_stop)
        button.start()
        try:
            self.client.execute_interactive(
                text, timeout=CELL_S, output_hook=keep, stop_on_error=False, allow_stdin=False
            )
        finally:
            button.cancel()
            button.join()
        seconds = time.monotonic() - began
        return Shown(cell, how, "\n".join(errors), "".join(printed), seconds)

    def press_stop(self) -> None:
        """What the stop button does: SIGINT to the kernel and all in its process group."""
        provisioner: Any = self.manager.provisioner
        os.killpg(os.getpgid(provisioner.pid), signal.SIGINT)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel; at the end of the block no process of it may be left."""
    with tempfile.TemporaryDirectory(prefix="rudely-", ignore_cleanup_errors=True) as mark:
        made = Kernel(folder, mark)
        try:
            yield made
        finally:
            made.close()
        end = time.monotonic() + GONE_S
        while (left := marked(mark)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not left, [process.cmdline() for process in left]


def twice(made: Kernel, cells: list[tuple[int, str]]) -> list[Shown]:
    """Each cell two times, from the top."""
    return [made.run(at, text, how) for at, text in cells for how in ("once", "again")]


def shuffled(made: Kernel, cells: list[tuple[int, str]], seed: int = 0) -> list[Shown]:
    """The start cell, then the others in any order; the stop cell may come in between."""
    others = random.Random(seed).sample(cells[1:], len(cells) - 1)
    return [made.run(at, text, "out of order") for at, text in [cells[0], *others]]


def stopped(made: Kernel, cells: list[tuple[int, str]], seed: int = 0) -> list[Shown]:
    """Each long cell is stopped in the middle, and run again."""
    rng, shown = random.Random(seed), []
    made.run(0, IMPORT, "")
    for at, text in cells:
        shown.append(made.run(at, text, "stopped", rng.uniform(0.05, 2 * LONG_S)))
        if shown[-1].error:
            shown.append(made.run(at, text, "after the stop"))
    return shown


WAYS: dict[str, Callable[[Kernel, list[tuple[int, str]]], list[Shown]]] = {
    "twice": twice,
    "shuffled": shuffled,
    "stopped": stopped,
}


def main(paths: list[str]) -> int:
    """All ways for each of these notebooks; prints what was shown."""
    bad = 0
    for path in map(Path, paths):
        for name, way in WAYS.items():
            began = time.monotonic()
            with kernel(path.parent) as made:
                shown = way(made, code_of(path))
            print(f"== {path.name}, {name}: {time.monotonic() - began:.0f} s", flush=True)
            for one in shown:
                if one.error:
                    print(one, flush=True)
            for one in deep(shown):
                bad += 1
                print("DEEP", one, flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
