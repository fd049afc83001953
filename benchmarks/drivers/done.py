"""How every benchmark counts what is done: a task appends its time to a file, the same for all.

The file is named by BENCH_DONE and lies in shared memory where there is some. A record is the
machine's monotonic clock, 8 bytes; an append of so few is atomic. Only the standard library, since
each peer's environment imports it.
"""

from __future__ import annotations

import os
import struct
import time

__all__ = ["mark", "times"]

RECORD = struct.Struct("d")
_files: dict[int, int] = {}  # by process: a fork must not share an offset


def mark() -> None:
    """Append the time: a task has run."""
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(os.environ["BENCH_DONE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(_files[pid], RECORD.pack(time.monotonic()))


def times(path: str) -> list[float]:
    """All times, in s, in order."""
    with open(path, "rb") as file:
        data = file.read()
    return sorted(value for (value,) in RECORD.iter_unpack(data[: len(data) // 8 * 8]))
