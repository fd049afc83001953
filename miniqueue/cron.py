"""Cron: tasks that are sent again and again, by any worker, each tick once.

    schedule(queue, "report", "0 7 * * 1-5", step(make_report), timezone="Europe/Berlin")
    schedules(queue)
    unschedule(queue, "report")

Workers look once a second. A tick that is late by more than a minute, because no worker ran, is
sent once when one runs again (`missed="once"`) or not at all (`missed="skip"`); several missed
ticks are never sent one by one. While a queue is paused its schedules go on, and the tasks wait.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from miniqueue.errors import ConfigError
from miniqueue.flow import Step
from miniqueue.protocol.calls import Call, pairs, redis_time
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue, submission
from miniqueue.settings import check_name
from miniqueue.task import PRIORITIES, decode, encode_json, new_ids

__all__ = ["Schedule", "due_calls", "schedule", "schedules", "unschedule"]

log = logging.getLogger("miniqueue.worker")
Missed = Literal["once", "skip"]
LATE_MS = 60_000  # a tick that is later than this was missed
MOST = 1000  # schedules of a queue


@dataclass(frozen=True, slots=True)
class Schedule:
    """A task to send at the times of a cron expression; `next_ms` is the next one, Redis' clock."""

    name: str
    expression: str
    timezone: str
    missed: Missed
    next_ms: int
    task: dict[str, Any]
    kept: str = ""  # its text as it was read; a tick is sent only while that stands

    def following(self, now_ms: int) -> Schedule:
        """The same schedule with the first time after `now_ms`."""
        return replace(self, next_ms=next_time(self.expression, self.timezone, now_ms))

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {name: value for name, value in asdict(self).items() if name != "kept"}

    def text(self) -> str:
        """As it is kept in the hash M:cron."""
        return encode_json({k: v for k, v in self.as_dict().items() if k != "name"})


def schedule(
    queue: Queue,
    name: str,
    expression: str,
    step: Step,
    *,
    timezone: str = "UTC",
    missed: Missed = "once",
) -> Schedule:
    """Set or replace a schedule. Raises ConfigError, UnknownFunction, PayloadError."""
    check_name("schedule", name)
    if missed not in get_args(Missed):
        raise ConfigError(f"missed={missed!r}: say one of {', '.join(get_args(Missed))}")
    spec = queue.spec(step.function)
    sent = submission("-", spec, step.args, step.kwargs, queue.settings)
    if sent.after or sent.delay_ms or sent.unique:
        raise ConfigError("a scheduled task has no after, delay_s and idempotency_key")
    now_ms, known = queue.client.run_many(
        [redis_time(), Call("HLEN", (queue.protocol.keys.cron,), (), int)]
    )
    if known >= MOST and name not in queue.client.run(read(queue.protocol)):
        raise ConfigError(f"queue {queue.name!r} has {known:,} schedules, the limit is {MOST:,}")
    told = {key: value for key, value in sent._asdict().items() if value and key != "id"}
    new = Schedule(name, expression, timezone, missed, 0, told).following(now_ms)
    key = (queue.protocol.keys.cron,)
    calls: list[Call[Any]] = [Call("HSET", key, (name, new.text()), int)]
    queue.client.run_many([*calls, queue.protocol.roster.register(queue.name)])
    return new


def unschedule(queue: Queue, name: str) -> bool:
    """Remove a schedule; False where there was none. Tasks that it has sent stay."""
    return queue.client.run(Call("HDEL", (queue.protocol.keys.cron,), (name,), bool))


def schedules(queue: Queue) -> list[Schedule]:
    """All schedules of a queue, by name."""
    return [parsed for _, parsed in sorted(queue.client.run(read(queue.protocol)).items())]


def read(protocol: Protocol) -> Call[dict[str, Schedule]]:
    """All schedules of a queue; what a foreign hand broke is left out."""

    def parse(reply: Any) -> dict[str, Schedule]:
        found = {name: _parsed(name, text) for name, text in pairs(reply).items()}
        return {name: parsed for name, parsed in found.items() if parsed is not None}

    return Call("HGETALL", (protocol.keys.cron,), (), parse)


def due_calls(
    protocol: Protocol, found: Sequence[Schedule], now_ms: int, events_kept: int
) -> list[Call[int]]:
    """A tick for each schedule whose time has come; one that cannot be sent is told of."""
    calls = []
    for one in found:
        try:
            if one.next_ms <= now_ms:
                calls.append(_tick(protocol, one, now_ms, events_kept))
        except (ConfigError, TypeError, ValueError) as error:  # a foreign hand
            log.warning("schedule %r cannot be sent: %s", one.name, error)
        except ImportError as error:
            log.warning("%s: pip install 'miniqueue[cron]' to send schedules", error)
    return calls


def _tick(protocol: Protocol, due: Schedule, now_ms: int, events_kept: int) -> Call[int]:
    k = protocol.keys
    skipped = due.missed == "skip" and now_ms - due.next_ms > LATE_MS
    task_id = new_ids(protocol.queue, 1)[0]
    sent = Submission(id=task_id, **{"kwargs": "{}", "args": "[]", **due.task})
    ready = k.ready[PRIORITIES.index(sent.priority)]
    head = (k.prefix, due.name, due.kept, due.following(now_ms).text())
    words = (*sent.stored(), "due_ms", due.next_ms)  # the tick that it stands for
    args = (*head, "" if skipped else task_id, events_kept, sent.expiry_ms, *words)
    return Call("tick", (k.cron, ready, k.events, k.wake, k.stats), args, int)


def next_time(expression: str, timezone: str, now_ms: int) -> int:
    """The first time of a cron expression after `now_ms`, in ms. Raises ConfigError."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from cronsim import CronSim, CronSimError

    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"no time zone is called {timezone!r}; say UTC or Europe/Berlin"
        ) from None
    try:
        now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
        return int(next(CronSim(expression, now)).timestamp() * 1000)
    except (CronSimError, StopIteration) as error:
        raise ConfigError(
            f"{expression!r} is not a cron expression ({error}): "
            "say minute hour day month weekday, like '*/5 * * * *'"
        ) from None


def _parsed(name: str, text: str) -> Schedule | None:
    try:
        return replace(Schedule(name, **decode(text)), kept=text)
    except TypeError:
        return None
