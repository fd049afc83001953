"""The task functions that the benchmarks run on miniqueue."""

from __future__ import annotations

import time

from done import mark

from miniqueue import task


@task
def noop() -> None:
    """Nothing, counted."""
    mark()


@task
def nap(seconds: float) -> None:
    """Sleep, counted."""
    time.sleep(seconds)
    mark()


@task
def short(due: float, seconds: float) -> float:
    """Sleep; gives how late it started, in ms, by the clock that mark() reads."""
    late_ms = (time.monotonic() - due) * 1000
    time.sleep(seconds)
    return late_ms


long = task(name="long")(short.function)
