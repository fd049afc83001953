"""A small example of each operation, for xray_of(): what happens before it, and then the call.

Ids and times are fixed, so an example is always the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miniqueue.errors import ConfigError
from miniqueue.protocol.calls import Call, scripts
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Completion, Failure, Postponement, Submission
from miniqueue.redis_client import Client
from miniqueue.settings import Settings

__all__ = ["example"]

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
ERROR = '{"type":"ValueError","message":"no"}'
Steps = list[Call[Any] | int]  # a number lets so many ms pass


def example(name: str) -> tuple[Client, str, Steps, int]:
    """An empty Redis in memory, the queue's prefix, the steps (the last one is the operation
    itself) and the time at which they begin. Raises ConfigError.
    """
    if name not in EXAMPLES:
        known = ", ".join(EXAMPLES)
        if name in scripts():
            raise ConfigError(f"{name}.lua has no example yet: add one to {__name__}.EXAMPLES")
        raise ConfigError(f"no operation is called {name!r}; there are {known}")
    import fakeredis

    raw = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    protocol = Protocol(Settings(), "default")
    return Client(raw), protocol.keys.prefix, EXAMPLES[name](protocol), NOW_MS


def _task(task_id: str, **options: Any) -> Submission:
    return Submission(task_id, "add", "[2,3]", "{}", "normal", 3, **options)


def _claimed(p: Protocol) -> Steps:
    """A task in the hands of a worker, for 20 ms."""
    return [p.enqueue([_task("t1")]), 5, p.claim("w1", 10), 20]


def _failed(p: Protocol) -> Steps:
    return [*_claimed(p), p.fail("w1", _failure("failed")), 1000]


def _failure(state: str) -> Failure:
    return Failure("t1", 1, state, ERROR, "ValueError: no", 800, NOW_MS + 5, 20.1)


def _done(task_id: str) -> Completion:
    return Completion(task_id, 1, "5", NOW_MS + 5, 20.1)


def _tick(p: Protocol) -> Steps:
    """As a worker sends it for a schedule whose time has come (cron.py)."""
    k, old, new = p.keys, '{"next_ms": "at 7"}', '{"next_ms": "at 8"}'
    args = (k.prefix, "report", old, new, "t1", 10_000, 0, *_task("t1").stored())
    tick = Call("tick", (k.cron, k.ready[1], k.events, k.wake, k.stats), args, int)
    return [Call("HSET", (k.cron,), ("report", old), int), tick]


EXAMPLES: dict[str, Callable[[Protocol], Steps]] = {
    "ack": lambda p: [*_claimed(p), p.ack("t1", 1)],
    "advance": lambda p: [
        p.enqueue([_task("t1"), _task("t2", after=("t1",))]),
        p.claim("w1", 10),
        p.complete("w1", [_done("t1")]),
        p.advance(),
    ],
    "cancel": lambda p: [p.enqueue([_task("t1"), _task("t2")]), 5, p.cancel("t1")],
    "claim": lambda p: [p.enqueue([_task("t1"), _task("t2")]), 5, p.claim("w1", 10)],
    "complete": lambda p: [*_claimed(p), p.complete("w1", [_done("t1")])],
    "count": lambda p: [
        p.count([("succeeded", "add", 3), ("run:5", "add", 3), ("run_us", "add", 4100)])
    ],
    "emit": lambda p: [*_claimed(p), p.emit("t1", 1, "half of it")],
    "enqueue": lambda p: [p.enqueue([_task("t1"), _task("t2", delay_ms=60_000)])],
    "extend": lambda p: [*_claimed(p), 5000, p.extend([("t1", 1)])],
    "fail": lambda p: [*_claimed(p), p.fail("w1", _failure("scheduled"))],
    "forget": lambda p: [
        *_claimed(p),
        p.complete("w1", [_done("t1")]),
        HOUR_MS,
        p.forget(),
    ],
    "once": lambda p: [*_claimed(p), p.once("t1", 1, "mail")],
    "pause": lambda p: [p.pause()],
    "postpone": lambda p: [
        *_claimed(p),
        p.postpone("w1", Postponement("t1", 1, 500, "its rate is 2/s")),
    ],
    "promote": lambda p: [p.enqueue([_task("t1", delay_ms=60_000)]), 60_000, p.promote()],
    "purge": lambda p: [*_failed(p), p.purge("t1")],
    "reclaim": lambda p: [*_claimed(p), 15_000, p.reclaim()],
    "release": lambda p: [
        p.enqueue([_task("t1"), _task("t2"), _task("t3")]),
        p.claim("w1", 2),
        p.release("w1", [("t1", 1), ("t2", 1)]),
    ],
    "report": lambda p: [*_claimed(p), p.progress("t1", 1, "0.5")],
    "reserve": lambda p: [p.reserve("mail", 500), 100, p.reserve("mail", 500)],
    "resume": lambda p: [p.pause(), p.resume()],
    "retry": lambda p: [*_failed(p), p.retry("t1")],
    "save": lambda p: [*_claimed(p), p.save("t1", 1, '{"epoch":3}')],
    "tick": _tick,
    "wait": lambda p: [p.enqueue([_task("t1")]), p.wait("t1")],
}
