"""The newest stack of this user that runs, whichever process has started it.

A stack says where its dashboard is in a file of its own folder, and holds a lock on that file for
as long as it runs. The lock goes with its process, however that ends: a folder that a killed
kernel left behind deceives nobody, not even where another process has got the same number.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["PREFIX", "newest", "tell"]

PREFIX = "miniqueue-"  # of the folders
NAME = "dashboard.url"


def tell(directory: Path, url: str) -> Callable[[], object]:
    """Say that a stack answers at `url`, until what is given here is called or the process ends.

    On Windows nothing is told.
    """
    if sys.platform == "win32":
        return lambda: None
    file = (directory / NAME).open("w", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(url)
    file.flush()
    return file.close


def newest(folder: Path | None = None) -> int | None:
    """The port of its dashboard; None where no stack runs. `folder`: that of temporary files."""
    files = (folder or Path(tempfile.gettempdir())).glob(f"{PREFIX}*/{NAME}")
    ports = {at_ns: port for file in files for at_ns, port in _read(file)}
    return ports[max(ports)] if ports else None


def _read(file: Path) -> list[tuple[int, int]]:
    """When a stack was started and its port; nothing where it does not run, or is not ours.

    The folder of temporary files is everybody's: what another user has put there is not read.
    """
    try:
        if not _ours(file.parent) or not _locked(file):
            return []
        port = int(file.read_text(encoding="utf-8").rpartition(":")[2])
        return [(file.stat().st_mtime_ns, port)]
    except (OSError, ValueError):  # gone by now, half written, or something else
        return []


def _ours(folder: Path) -> bool:
    """Whether this user has made it; a link says who made the link."""
    return sys.platform != "win32" and folder.lstat().st_uid == os.getuid()


def _locked(file: Path) -> bool:
    if sys.platform == "win32":
        return False
    with file.open(encoding="utf-8") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
