"""The workload: task functions that tell an observer what they do. Workers import this module.

Each gives its attempt as its result, so that the result that is kept names the run it came from.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from miniqueue.classroom.chaos.failpoints import pass_by
from miniqueue.classroom.chaos.witness import Witness
from miniqueue.context import Context
from miniqueue.errors import Fail
from miniqueue.registry import task

__all__ = ["doomed", "once", "poison", "pulse", "wobbly", "work", "work_async"]

PATIENT = 100  # attempts: kills must not end a task that can be done
WITNESS = Witness()


def _tell(what: str, key: str, ctx: Context, note: str = "") -> bool:
    told = {"id": ctx.task_id, "attempt": ctx.attempt, "worker": ctx.worker}
    return WITNESS.tell(what, key, note=note, **told)


def _finish(key: str, ctx: Context) -> int:
    pass_by("task")
    _tell("effect", key, ctx)
    pass_by("effect")
    return ctx.attempt


@task(max_attempts=PATIENT)
def work(ctx: Context, key: str, seconds: float) -> int:
    """Wait, then have an effect."""
    _tell("started", key, ctx)
    time.sleep(seconds)
    return _finish(key, ctx)


@task(max_attempts=PATIENT)
async def work_async(ctx: Context, key: str, seconds: float) -> int:
    """The same as a coroutine."""
    _tell("started", key, ctx)
    await asyncio.sleep(seconds)
    return _finish(key, ctx)


@task(max_attempts=PATIENT, ack="before")
def once(ctx: Context, key: str, seconds: float) -> int:
    """The same, at most once."""
    _tell("started", key, ctx)
    time.sleep(seconds)
    return _finish(key, ctx)


@task(max_attempts=PATIENT, backoff_s=0.1, backoff_cap_s=0.5)
def wobbly(ctx: Context, key: str, seconds: float) -> int:
    """Raise on the first two attempts."""
    _tell("started", key, ctx)
    time.sleep(seconds)
    if ctx.attempt <= 2:
        _tell("raised", key, ctx)
        raise RuntimeError("as asked")
    return _finish(key, ctx)


@task
def doomed(ctx: Context, key: str, seconds: float) -> int:
    """Give up at once."""
    _tell("started", key, ctx)
    time.sleep(seconds)
    _tell("raised", key, ctx)
    raise Fail("as asked")


@task
def poison(ctx: Context, key: str, seconds: float) -> None:
    """Kill the worker."""
    _tell("started", key, ctx)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@task(max_attempts=PATIENT)
def pulse(ctx: Context) -> int:
    """What the schedule sends."""
    return ctx.attempt
