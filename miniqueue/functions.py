"""The built-in task functions, for demos, labs and the first five minutes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from miniqueue.context import Context
from miniqueue.registry import task

__all__ = ["add", "cpu", "crash", "echo", "fail", "flaky", "sample", "sleep"]


@task
def sample() -> str:
    """What POST /task runs when it is sent no body."""
    time.sleep(0.05)
    return "a sample result"


@task
def echo(value: Any = None) -> Any:
    """Return the argument."""
    return value


@task
def add(x: float, y: float) -> float:
    """Return x + y."""
    return x + y


@task
def sleep(seconds: float = 1.0) -> float:
    """Wait, as a task does that asks another service; return the seconds."""
    time.sleep(seconds)
    return seconds


@task
def cpu(ms: float = 20.0) -> int:
    """Compute for about `ms` milliseconds of CPU time; return the rounds it took."""
    rounds, end = 0, time.thread_time() + ms / 1000
    while time.thread_time() < end:
        sum(range(500))
        rounds += 1
    return rounds


@task(backoff_s=0.2)
def flaky(ctx: Context, failures: int = 1) -> str:
    """Fail on the first `failures` attempts, then succeed."""
    if ctx.attempt <= failures:
        raise RuntimeError(f"attempt {ctx.attempt} fails, as asked")
    return f"succeeded on attempt {ctx.attempt}"


@task(max_attempts=1)
def fail(message: str = "it fails, as asked") -> None:
    """Fail, always."""
    raise RuntimeError(message)


@task
def crash() -> None:
    """Kill the worker that runs it (SIGKILL): the lease runs out, another worker tries, in vain."""
    os.kill(os.getpid(), signal.SIGKILL)
