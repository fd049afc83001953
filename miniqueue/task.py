"""What a task is: its record, its states and the legal ways between them, JSON, backoff. Pure.

scheduled ──> queued ──> running ──> succeeded
    ^           ^  ^        │──────> failed ──> queued   (a human's retry)
    │           │  └────────│        (release, reclaim)
    └───────────│───────────┘        (an attempt failed: backoff)
             deferred
Every waiting or running state may also go to cancelled. Nothing leaves succeeded or cancelled.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

from miniqueue.errors import PayloadError

__all__ = ["PRIORITIES", "TERMINAL", "TRANSITIONS", "Priority", "Task", "TaskState", "backoff"]

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


class TaskState(StrEnum):
    """The one word for where a task is, the same in Python, Redis, JSON and docs."""

    DEFERRED = "deferred"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


S = TaskState
TERMINAL = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED})
TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    S.DEFERRED: frozenset({S.QUEUED, S.SCHEDULED, S.CANCELLED, S.FAILED}),
    S.SCHEDULED: frozenset({S.QUEUED, S.CANCELLED}),
    S.QUEUED: frozenset({S.RUNNING, S.CANCELLED}),
    S.RUNNING: frozenset({S.QUEUED, S.SCHEDULED, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset({S.QUEUED}),
    S.CANCELLED: frozenset(),
}

encode_json: Callable[[Any], str] = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
scan_json = json.JSONDecoder().raw_decode


def encode(value: Any, what: str, of: str = "") -> str:
    """JSON text of `value`; PayloadError says what cannot travel ("the result", of="add"), why."""
    if value is None:  # the most frequent result
        return "null"
    try:
        text = encode_json(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        whose = f" of {of!r}" if of else ""
        raise PayloadError(f"{what}{whose} is not JSON: {error}") from None
    return text


def size_of(text: str) -> int:
    """Bytes that a text takes in Redis.

    >>> size_of("5"), size_of("€")
    (1, 3)
    """
    return len(text) if text.isascii() else len(text.encode())


def decode(text: str | None, default: Any = None) -> Any:
    """The value of a JSON text from Redis.

    Text that is not JSON (a foreign hand) comes back as is.
    """
    if text is None:
        return default
    try:
        value, end = scan_json(text)  # a quarter of the time of json.loads
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text)  # here white space around the value is fine
    except (ValueError, RecursionError):
        return text


def new_ids(queue: str, count: int) -> list[str]:
    """Random task ids of 64 bits. The id of a task outside `default` begins with its queue.

    >>> [len(i) for i in new_ids("default", 2)], new_ids("mail", 1)[0][:5]
    ([16, 16], 'mail.')
    """
    prefix = "" if queue == "default" else queue + "."
    digits = os.urandom(8 * count).hex()
    return [prefix + digits[i : i + 16] for i in range(0, 16 * count, 16)]


def queue_of(task_id: str) -> str:
    """The queue that a task id belongs to.

    >>> queue_of("00ff00ff00ff00ff"), queue_of("mail.00ff00ff00ff00ff")
    ('default', 'mail')
    """
    return task_id.rpartition(".")[0] or "default"


def backoff(
    attempt: int,
    *,
    base_s: float,
    cap_s: float,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds to wait after failed attempt number `attempt` (1, 2, …): full jitter.

    A uniform draw from 0 to min(cap_s, base_s * 2 ** (attempt - 1)), so that clients which failed
    together do not come back together (Brooker, "Exponential Backoff And Jitter", AWS 2015).

    >>> [backoff(n, base_s=1, cap_s=10, uniform=lambda low, high: high) for n in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 10.0]
    """
    ceiling = min(cap_s, base_s * 2.0 ** min(attempt - 1, 62))
    return float(uniform(0.0, ceiling))


@dataclass(frozen=True, slots=True)
class Task:
    """What is known of a task at one moment. Times are Redis' clock, in milliseconds."""

    id: str
    queue: str
    name: str
    state: TaskState
    args: list[Any]
    kwargs: dict[str, Any]
    priority: Priority
    attempt: int
    max_attempts: int
    released: int
    timeout_s: float | None
    enqueued_ms: int
    due_ms: int | None
    expires_ms: int | None
    started_ms: int | None
    run_ms: float | None
    finished_ms: int | None
    after: list[str]
    worker: str | None
    lost_worker: str | None
    lost_ms: int | None
    cancel_requested: bool
    put_off: str | None
    progress: Any
    result: Any
    error: dict[str, Any] | None

    @classmethod
    def from_hash(cls, task_id: str, h: Mapping[str, str]) -> Task:
        """Read the task hash; a field that a foreign hand broke becomes the field's default."""
        error = decode(h.get("error"))
        return cls(
            id=task_id,
            queue=queue_of(task_id),
            name=h.get("name", "?"),
            state=_state(h.get("state")),
            args=_as(list, decode(h.get("args"), [])),
            kwargs=_as(dict, decode(h.get("kwargs"), {})),
            priority=_priority(h.get("priority")),
            attempt=to_int(h.get("attempt")) or 0,
            max_attempts=to_int(h.get("max_attempts")) or 1,
            released=to_int(h.get("released")) or 0,
            timeout_s=to_float(h.get("timeout_s")),
            enqueued_ms=to_int(h.get("enqueued_ms")) or 0,
            due_ms=to_int(h.get("due_ms")),
            expires_ms=to_int(h.get("expires_ms")),
            started_ms=to_int(h.get("started_ms")),
            run_ms=to_float(h.get("run_ms")),
            finished_ms=to_int(h.get("finished_ms")),
            after=_as(list, decode(h.get("after"), [])),
            worker=h.get("worker"),
            lost_worker=h.get("lost_worker"),
            lost_ms=to_int(h.get("lost_ms")),
            cancel_requested="cancel" in h,
            put_off=h.get("put_off"),
            progress=decode(h.get("progress")),
            result=decode(h.get("result")),
            error=error if isinstance(error, dict) or error is None else {"message": str(error)},
        )

    @classmethod
    def from_dict(cls, shown: Mapping[str, Any]) -> Task:
        """The inverse of as_dict(); fields of a later version are left out."""
        told: dict[str, Any] = {name: shown.get(name) for name in cls.__slots__}
        told |= {"id": shown["task_id"], "state": TaskState(shown["state"])}
        return cls(**told | {"cancel_requested": bool(shown.get("cancel_requested"))})

    @property
    def tries(self) -> int:
        """Attempts that count against max_attempts: claims less those handed back unstarted."""
        return self.attempt - self.released

    def as_dict(self) -> dict[str, Any]:
        """The task as JSON shows it: what is not known is left out."""
        shown: dict[str, Any] = {"task_id": self.id}
        for name in self.__slots__[1:]:
            value = getattr(self, name)
            if value is not None and value is not False:
                shown[name] = value
        if self.state is S.SUCCEEDED:
            shown["result"] = self.result
        return shown


def legal(path: Iterable[TaskState]) -> bool:
    """Whether a task may go through these states in this order."""
    states = list(path)
    return all(b in TRANSITIONS[a] for a, b in itertools.pairwise(states))


def _state(text: str | None) -> TaskState:
    return TaskState(text) if text in list(TaskState) else TaskState.FAILED


def _priority(text: str | None) -> Priority:
    return "high" if text == "high" else "low" if text == "low" else "normal"


def _as(kind: type[Any], value: Any) -> Any:
    return value if isinstance(value, kind) else kind()


def to_int(text: str | None) -> int | None:
    """The number in a field, None where there is none or a foreign hand broke it."""
    if text is not None and len(text) < 16:  # most often it is one, and not too large
        try:
            return int(text)
        except ValueError:
            pass
    number = to_float(text)
    return None if number is None else int(number)


def to_float(text: str | None) -> float | None:
    """As to_int; not a number and infinity are no numbers."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
