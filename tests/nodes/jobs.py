"""A task function that leaves a trace outside Redis; workers import this module."""

from __future__ import annotations

from pathlib import Path

from miniqueue import task

__all__ = ["note"]


@task(max_attempts=50)
def note(diary: str, mark: str) -> str:
    """Write the mark into the diary: that it ran is known whatever Redis forgets."""
    with Path(diary).open("a") as book:
        book.write(f"{mark}\n")
    return mark
