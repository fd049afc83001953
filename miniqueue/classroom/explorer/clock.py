"""Clock: virtual time and chance for the code that is explored, and for nobody else.

Nothing global is patched, because a Jupyter kernel has other threads. `installed()` replaces the
names that hold `time`, `random`, `uuid`, `secrets` or `os` (or a function of theirs) by stand-ins,
in the namespaces of the explored code alone and while it is explored. A stand-in asks the virtual
clock in the exploring thread and the real module in every other one.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import random
import secrets
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["START_MS", "Clock", "Dice", "installed", "namespaces", "silence"]

OURS = __package__ or ""
START_MS = 1_700_000_000_000  # when every exploration begins, in ms since 1970
NUDGE_S = 5e-7  # so that Redis' float of seconds never falls just below its millisecond


class Clock:
    """The time of the world, in ms; it moves only when the scheduler says so."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.was_read = False  # by explored code, since somebody set this to False
        self.sleeper: Callable[[float], None] | None = None  # set while explored code runs
        self.dice = Dice("")  # the running program's; replaced when another one runs

    @property
    def now_s(self) -> float:
        return self.now_ms / 1000 + NUDGE_S

    def read_ms(self) -> int:
        """What explored code sees; that it has looked is remembered."""
        self.was_read = True
        return self.now_ms

    def sleep(self, seconds: float) -> None:
        """What time.sleep does in explored code."""
        if self.sleeper is None:
            raise RuntimeError("nobody who could sleep is running")
        self.sleeper(seconds)


class Dice(random.Random):
    """A program's chance and its pid, the same in every run of it: seeded with its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._pid = 300 + zlib.crc32(name.encode()) % 30_000

    def getpid(self) -> int:
        return self._pid

    def urandom(self, size: int) -> bytes:
        return self.randbytes(size)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self.getrandbits(128), version=4)

    def token_bytes(self, nbytes: int | None = None) -> bytes:
        return self.randbytes(nbytes or 32)

    def token_hex(self, nbytes: int | None = None) -> str:
        return self.token_bytes(nbytes).hex()

    token_urlsafe = token_hex


class _StandIn:
    """Looks like a module; some of its functions are others in one thread."""

    def __init__(self, module: Any, virtual: Mapping[str, Callable[..., Any]]) -> None:
        thread = threading.get_ident()

        def either(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
            real = getattr(module, name)

            def call(*args: Any, **kwargs: Any) -> Any:
                return (ours if threading.get_ident() == thread else real)(*args, **kwargs)

            return call

        self.module = module
        self.functions = {name: either(name, ours) for name, ours in virtual.items()}

    def __getattr__(self, name: str) -> Any:
        return self.functions.get(name) or getattr(self.module, name)

    def replacements(self) -> Iterator[tuple[Any, Any]]:
        """What to look for and what to put there: the module, and each function by itself."""
        yield self.module, self
        for name, function in self.functions.items():
            yield getattr(self.module, name), function


def _stand_ins(clock: Clock) -> list[_StandIn]:
    def now() -> float:
        return clock.now_s if clock.sleeper is None else clock.read_ms() / 1000

    def now_ns() -> int:
        return clock.read_ms() * 1_000_000

    def roll(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: getattr(clock.dice, name)(*args, **kwargs)

    drawn = ("random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle")
    tokens = ("token_bytes", "token_hex", "token_urlsafe")
    times: dict[str, Callable[..., Any]] = {
        "time": now,
        "monotonic": now,
        "perf_counter": now,
        "sleep": clock.sleep,
    }
    times_ns = {"time_ns": now_ns, "monotonic_ns": now_ns, "perf_counter_ns": now_ns}
    return [
        _StandIn(time, {**times, **times_ns}),
        _StandIn(random, {name: roll(name) for name in (*drawn, "expovariate", "getrandbits")}),
        _StandIn(uuid, {"uuid4": roll("uuid4"), "uuid1": roll("uuid4")}),
        _StandIn(secrets, {name: roll(name) for name in tokens}),
        _StandIn(os, {name: roll(name) for name in ("getpid", "urandom")}),
    ]


@contextlib.contextmanager
def installed(
    clock: Clock, namespaces: Iterable[dict[str, Any]], more: Iterable[tuple[Any, Any]] = ()
) -> Iterator[None]:
    """Virtual time and chance in these namespaces; `more` are pairs of other things to replace."""
    pairs = [pair for stand_in in _stand_ins(clock) for pair in stand_in.replacements()]
    table = {id(old): (old, new) for old, new in (*pairs, *more)}
    changed: list[tuple[dict[str, Any], str, Any, Any]] = []
    try:
        for namespace in namespaces:
            for name, value in list(namespace.items()):
                old, new = table.get(id(value), (None, None))
                if new is not None and old is value:
                    namespace[name] = new
                    changed.append((namespace, name, old, new))
        yield
    finally:
        for namespace, name, old, new in reversed(changed):
            if namespace.get(name) is new:
                namespace[name] = old


def namespaces(
    code: Iterable[Callable[..., Any]], still: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """Where the explored code looks for its clock: miniqueue, fakeredis, the locks of redis-py, and
    the modules of these functions; but not in modules that stand still."""
    seen: set[int] = set()
    for name, module in list(sys.modules.items()):
        whose = name.split(".")[0]
        explored = whose in ("miniqueue", "fakeredis") and not name.startswith(OURS)
        if (explored or name == "redis.lock") and name not in still:
            seen.add(id(vars(module)))
            yield vars(module)
    for function in code:
        namespace = getattr(inspect.unwrap(function), "__globals__", {})
        if id(namespace) not in seen and not str(namespace.get("__name__")).startswith(OURS):
            seen.add(id(namespace))
            yield namespace


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Explored workers log "lost its lease" thousands of times: not in the exploring thread."""
    thread = threading.get_ident()

    def heard(record: logging.LogRecord) -> bool:
        return record.thread != thread

    log = logging.getLogger("miniqueue.worker")
    log.addFilter(heard)
    try:
        yield
    finally:
        log.removeFilter(heard)
