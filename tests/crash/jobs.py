"""Task functions for the crash tests; workers import this module."""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from pathlib import Path

from miniqueue import Context, task

__all__ = ["first_is_slow", "quick", "stuck", "talkative"]


@task
def first_is_slow(diary: str, seconds: float, ctx: Context) -> str:
    """Note each attempt in the diary; the first one takes so many seconds."""
    with Path(diary).open("a") as book:
        book.write(f"{ctx.attempt} {ctx.worker}\n")
    if ctx.attempt == 1:
        time.sleep(seconds)
    return f"attempt {ctx.attempt}"


@task(max_attempts=50)
def quick(number: int) -> int:
    """Enough work to be killed in."""
    time.sleep(0.003)
    return number


@task(max_attempts=1)
def stuck() -> None:
    """Compute in C, outside the interpreter's reach, for minutes."""
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 500_000_000)


@task(max_attempts=1)
def talkative(word: str) -> None:
    """Say the word in every way, and fail with it."""
    print("printed", word)
    print("in a piece", end="")
    logging.getLogger("jobs").warning("logged %s", word)
    warnings.warn(f"warned of {word}", stacklevel=1)
    try:
        raise ValueError(word)
    except ValueError:
        logging.getLogger("jobs").exception("caught")
