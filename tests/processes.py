"""Helpers of tests that start real processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_for(predicate: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true value of the predicate; fails when it does not come in time."""
    end = time.monotonic() + seconds
    while not (value := predicate()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.005)
    return value


def family(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    return psutil.Process(pid).children(recursive=True)


def gone(processes: Sequence[psutil.Process], seconds: float) -> bool:
    """Whether all of them end within that time."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def marked(value: str) -> list[psutil.Process]:
    """The processes that inherited the mark, without this one."""
    found = []
    for process in psutil.process_iter():
        try:
            own = process.environ().get("TMPDIR") == value or process.cwd().startswith(value)
            if own and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
