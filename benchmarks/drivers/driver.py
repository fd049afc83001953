"""What every driver shares: one small face, so that each peer is measured in the same way.

    python with_celery.py about          the worker's command and the installed versions
    python with_celery.py enqueue 1000   one call a task
    python with_celery.py bulk 1000      the library's own bulk call, or many calls at once
    python with_celery.py roundtrip 300  send, wait for the result, send the next

Each prints one line of JSON. A driver runs inside its peer's environment, so this is only the
standard library. Redis is named by MINIQUEUE_REDIS_URL, a peer's variant by BENCH_SETTING.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import os
import time
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["AsyncPeer", "Peer", "chunks", "redis_url", "run", "setting"]

T = TypeVar("T")

WARM_UP = 20  # round trips before the clock starts
ENOUGH_S = 8.0  # of round trips: some peers poll, and would take minutes
AT_ONCE = 16  # calls in one asyncio.gather: each takes a connection, and more were no faster


@dataclass(frozen=True)
class Peer:
    """A library with synchronous calls. `many` is its bulk call, `ask` waits for a result."""

    worker: Sequence[str]
    send: Callable[[], object]
    many: Callable[[int], object] | None = None
    ask: Callable[[], object] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AsyncPeer:
    """A library with asyncio calls. They run inside `session`, which connects and disconnects."""

    worker: Sequence[str]
    send: Callable[[], Awaitable[object]]
    session: Callable[[], contextlib.AbstractAsyncContextManager[object]]
    many: Callable[[int], Awaitable[object]] | None = None
    ask: Callable[[], Awaitable[object]] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def redis_url() -> str:
    return os.environ.get("MINIQUEUE_REDIS_URL", "redis://127.0.0.1:6379/0")


def setting(usual: str = "") -> str:
    """The variant of the peer that is asked for."""
    return os.environ.get("BENCH_SETTING") or usual


def chunks(count: int, size: int) -> Iterator[int]:
    """How many tasks each call takes: chunks(5, 2) is 2, 2, 1."""
    while count > 0:
        yield min(size, count)
        count -= size


def run(name: str) -> None:
    """Do what the command line asks of the PEER in module `name`.

    The module is imported anew by its own name: libraries refuse, or misname, tasks of `__main__`.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("about", "enqueue", "bulk", "roundtrip"))
    parser.add_argument("count", nargs="?", type=int, default=1000)
    args = parser.parse_args()
    peer: Peer | AsyncPeer = importlib.import_module(name).PEER
    if args.what == "about":
        told = about(peer)
    elif isinstance(peer, Peer):
        told = measure(peer, args.what, args.count)
    else:
        told = loop_run(measure_async(peer, args.what, args.count))
    print(json.dumps(told), flush=True)


def about(peer: Peer | AsyncPeer) -> dict[str, Any]:
    found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    return {"worker": list(peer.worker), "environ": dict(peer.environ), "versions": found}


def measure(peer: Peer, what: str, count: int) -> dict[str, Any]:
    """Send `count` tasks in all. The first one connects, and is not in the time."""
    if what == "roundtrip":
        if peer.ask is None:
            raise SystemExit("this peer keeps no results")
        ask = peer.ask
        return {"ms": list(round_trips(timed(ask) for _ in range(WARM_UP + count)))}
    peer.send()
    start = time.perf_counter()
    if what == "enqueue":
        for _ in range(count - 1):
            peer.send()
    elif peer.many is None:
        raise SystemExit("this peer has no bulk call")
    else:
        peer.many(count - 1)
    return {"rate": (count - 1) / (time.perf_counter() - start)}


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def round_trips(each: Iterable[float]) -> Iterator[float]:
    """Milliseconds after the warm-up, until it is enough."""
    start = time.monotonic()
    for number, ms in enumerate(each):
        if number >= WARM_UP:
            yield ms
        if time.monotonic() - start > ENOUGH_S and number > WARM_UP:
            return


async def measure_async(peer: AsyncPeer, what: str, count: int) -> dict[str, Any]:
    """The same for asyncio. Without a bulk call of its own, `bulk` is many calls at once."""
    async with peer.session():
        if what == "roundtrip":
            return {"ms": await round_trips_async(peer, count)}
        await peer.send()
        start = time.perf_counter()
        if what == "enqueue":
            for _ in range(count - 1):
                await peer.send()
        elif peer.many is not None:
            await peer.many(count - 1)
        else:
            for size in chunks(count - 1, AT_ONCE):
                await asyncio.gather(*(peer.send() for _ in range(size)))
        return {"rate": (count - 1) / (time.perf_counter() - start)}


async def round_trips_async(peer: AsyncPeer, count: int) -> list[float]:
    if peer.ask is None:
        raise SystemExit("this peer keeps no results")
    found: list[float] = []
    begun = time.monotonic()
    for number in range(WARM_UP + count):
        start = time.perf_counter()
        await peer.ask()
        if number >= WARM_UP:
            found.append((time.perf_counter() - start) * 1e3)
            if time.monotonic() - begun > ENOUGH_S:
                break
    return found


def loop_run(main: Awaitable[T]) -> T:
    """asyncio.run, with uvloop where the peer's environment has it."""

    async def whole() -> T:
        return await main

    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.run(whole())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())
