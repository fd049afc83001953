"""Options: how a task travels (per call) and how its function is handled (per function). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from miniqueue.errors import ConfigError, Fail
from miniqueue.settings import check_name
from miniqueue.task import PRIORITIES, Priority

__all__ = ["Ack", "Handling", "Options", "Takes", "changed", "split"]

O = TypeVar("O", "Options", "Handling")  # noqa: E741
Ack = Literal["before", "after"]
Takes = Literal["nothing", "result", "results"]
TAKES: tuple[Takes, ...] = get_args(Takes)
MOST_PARENTS = 1000
MOST_KEY = 200  # characters of an idempotency key
RATE = re.compile(r"([0-9.]+)/(s|m|h|d)")
PERIOD_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Options:
    """How a task travels and runs. None means: as the settings say. Seconds are floats.

    `after` are ids of tasks of the same queue that must succeed first; with `takes="result"` the
    function's first argument is the result of the one task, with "results" the list of all.
    """

    queue: str | None = None
    priority: Priority = "normal"
    delay_s: float = 0.0
    expires_s: float | None = None
    max_attempts: int | None = None
    timeout_s: float | None = None
    idempotency_key: str | None = None
    after: tuple[str, ...] = ()
    takes: Takes = "nothing"

    def __post_init__(self) -> None:
        if self.queue is not None:
            check_name("queue", self.queue)
        if self.priority not in PRIORITIES:
            raise ConfigError(f"priority {self.priority!r}: say one of {', '.join(PRIORITIES)}")
        _bounded("delay_s", self.delay_s, 0, 31_536_000)
        _bounded("expires_s", self.expires_s, 0.001, 31_536_000)
        _bounded("max_attempts", self.max_attempts, 1, 1000)
        if isinstance(self.max_attempts, float):
            raise ConfigError(f"max_attempts={self.max_attempts} is not a whole number")
        _bounded("timeout_s", self.timeout_s, 0.001, 604_800)
        if self.expires_s is not None and self.delay_s >= self.expires_s:
            raise ConfigError("expires_s must be longer than delay_s, or the task can never start")
        if self.after and self.delay_s:
            raise ConfigError("a task that waits for others has no delay_s: it starts after them")
        if len(self.after) > MOST_PARENTS:
            raise ConfigError(
                f"after names {len(self.after):,} tasks, the limit is {MOST_PARENTS:,}"
            )
        if self.takes not in TAKES:
            raise ConfigError(f"takes={self.takes!r}: say one of {', '.join(TAKES)}")
        if self.takes == "result" and len(self.after) != 1:
            raise ConfigError('takes="result" needs one task in after; "results" takes a list')
        if self.idempotency_key is not None and not 1 <= len(self.idempotency_key) <= MOST_KEY:
            raise ConfigError(f"idempotency_key: use 1 to {MOST_KEY} characters")


def _bounded(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name}={value!r} is not a number")
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} is out of bounds: {low:,} to {high:,}")


@dataclass(frozen=True, slots=True)
class Handling:
    """What a worker does with a function, whatever the call says.

    `backoff_s` and `backoff_cap_s`: see task.backoff. `retry_on`: only these exceptions are tried
    again; `give_up_on`: these never are. `rate`: at most so many starts, evenly spaced, over all
    workers: "10/s", "5/m". `batch`: the function gets a list of up to so many single arguments and
    returns a list of results; `linger_ms` is how long it waits for more.

    `ack` says when Redis is told that a task is done with: "after" its run (at least once: if its
    worker dies it is run again), or "before" (at most once: if its worker dies while it runs it
    ends in `failed`, and never starts a second time; one more round trip a task).
    """

    backoff_s: float = 1.0
    backoff_cap_s: float = 300.0
    retry_on: tuple[type[BaseException], ...] = ()
    give_up_on: tuple[type[BaseException], ...] = ()
    rate: str | None = None
    batch: int = 1
    linger_ms: float = 0.0
    ack: Ack = "after"

    def __post_init__(self) -> None:
        for name in ("retry_on", "give_up_on"):
            kinds = getattr(self, name)
            if not isinstance(kinds, tuple) or not all(isinstance(k, type) for k in kinds):
                raise ConfigError(f"{name}={kinds!r}: say a tuple of exception classes")
        if self.ack not in get_args(Ack):
            raise ConfigError(f"ack={self.ack!r}: say one of {', '.join(get_args(Ack))}")
        _bounded("backoff_s", self.backoff_s, 0, 86_400)
        _bounded("backoff_cap_s", self.backoff_cap_s, 0, 604_800)
        _bounded("batch", self.batch, 1, 1000)
        _bounded("linger_ms", self.linger_ms, 0, 10_000)
        if self.rate is not None and self.interval_ms <= 0:
            raise ConfigError(f"rate={self.rate!r}: say a number and a unit, like 10/s, 5/m, 100/h")

    @property
    def interval_ms(self) -> float:
        """The time between two starts that `rate` allows; 0 without a rate."""
        match = RATE.fullmatch(self.rate or "")
        if match is None:
            return 0.0
        try:
            return 1000 * PERIOD_S[match[2]] / float(match[1])
        except (ValueError, ZeroDivisionError):
            return 0.0

    def gives_up(self, error: BaseException) -> bool:
        """Whether a task that ended with this error is not tried again, whatever attempts are
        left.
        """
        if isinstance(error, Fail) or (self.give_up_on and isinstance(error, self.give_up_on)):
            return True
        return bool(self.retry_on) and not isinstance(error, self.retry_on)


def changed(options: O, changes: dict[str, Any]) -> O:
    """The options with some changed. Raises ConfigError for one that does not exist."""
    unknown = sorted(set(changes) - set(options.__slots__))
    if unknown:
        raise ConfigError(
            f"no option is called {unknown[0]!r}; there are {', '.join(options.__slots__)}"
        )
    return replace(options, **changes)


def split(words: dict[str, Any]) -> tuple[Options, Handling]:
    """The words of a decorator as options of the call and of the function. Raises ConfigError."""
    handled = {name: words[name] for name in words if name in Handling.__slots__}
    rest = {name: words[name] for name in words if name not in handled}
    known = [f.name for kind in (Options, Handling) for f in fields(kind)]
    for name in rest:
        if name not in Options.__slots__:
            raise ConfigError(f"no option is called {name!r}; there are {', '.join(known)}")
    return changed(Options(), rest), changed(Handling(), handled)
