"""Asks: what an HTTP client asks and how it reads the replies, without any I/O.

A Flow yields requests and pauses, and is sent the replies: client.py carries it out, with a
synchronous and an asynchronous client.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent

from miniqueue.errors import (
    STATUS,
    BackendUnavailable,
    ConfigError,
    MiniQueueError,
    TaskCancelled,
    TaskFailed,
)
from miniqueue.task import TERMINAL, Task, TaskState
from miniqueue.views import Event, Mark

__all__ = ["Ask", "Flow", "Place"]

T = TypeVar("T")
TIMEOUT_S = 5.0  # of a connection, and of a reply that is not waited for
POLL_S = 20.0  # how long one request waits for the end of a task
PULSE_S = 30.0  # a stream that is silent for longer is dead: the server gives a sign every 15 s
PAUSES_S = (0.1, 0.3, 0.9, 2.7)  # between the tries of a request
KINDS = {title: kind for kind, (_, title) in STATUS.items()}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, as a Flow says it."""

    method: str
    path: str
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = TIMEOUT_S


# What either client carries out: it makes the requests, sleeps the seconds, and sends the replies.
Flow = Generator[Ask | float, Any, T]


def submit(name: str, args: Sequence[Any], options: dict[str, Any]) -> Flow[str]:
    key = options.pop("idempotency_key", None) or secrets.token_hex(16)
    body = {"name": name, "args": args, **options}
    told = yield from _surely(Ask("POST", "/task", body, headers={"Idempotency-Key": key}))
    return str(told["task_id"])


def submit_many(tasks: Sequence[Mapping[str, Any]]) -> Flow[list[str]]:
    reply = yield Ask("POST", "/tasks", {"tasks": [dict(task) for task in tasks]})
    return list(checked(reply).json()["task_ids"])


def plain(method: str, task_id: str, what: str = "") -> Flow[None]:
    checked((yield Ask(method, _path(task_id, what))))


def get(task_id: str, wait_s: float) -> Flow[Task]:
    params = {"wait_s": round(wait_s, 3)} if wait_s else {}
    ask = Ask("GET", _path(task_id), params=params, timeout_s=wait_s + TIMEOUT_S)
    return Task.from_dict((yield from _surely(ask)))


def wait(task_id: str, timeout_s: float | None) -> Flow[Any]:
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = POLL_S if end is None else max(0.0, end - time.monotonic())
        task = yield from get(task_id, min(POLL_S, left))
        if task.state is TaskState.SUCCEEDED:
            return task.result
        if task.state is TaskState.FAILED:
            raise TaskFailed(task_id, task.error or {})
        if task.state in TERMINAL:
            raise TaskCancelled(task_id, (task.error or {}).get("message", "cancelled"))
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"task {task_id} is {task.state} after {timeout_s} s")


def _surely(ask: Ask) -> Flow[dict[str, Any]]:
    """Ask, and ask again while the server or Redis is away: only what may be asked twice."""
    for pause_s in PAUSES_S:
        try:
            return _json((yield ask))
        except BackendUnavailable as error:
            yield max(pause_s, float(getattr(error, "retry_after_s", 0)))
    return _json((yield ask))


def _path(task_id: str, what: str = "") -> str:
    return f"/task/{quote(task_id, safe='')}{what}"


def _json(reply: httpx.Response) -> dict[str, Any]:
    told: dict[str, Any] = checked(reply).json()
    return told


class Place:
    """Where a reader of events is, over all its connections."""

    def __init__(self, task_id: str, queue: str, after: str) -> None:
        self.path = _path(task_id, "/events") if task_id else "/events"
        self._queue = queue
        self._last = after
        self._tries = 0

    def request(self) -> dict[str, Any]:
        headers = {"Last-Event-ID": self._last} if self._last else {}
        params = {"queue": self._queue} if self._queue else {}
        timeout = httpx.Timeout(TIMEOUT_S, read=PULSE_S)
        return {"headers": headers, "params": params, "timeout": timeout}

    def goes_on(self, status: int) -> bool:
        return status != 204  # the task has ended and nothing is new

    def event(self, message: ServerSentEvent) -> Event | None:
        if not message.data:
            return None
        self._tries, told = 0, message.json()
        if message.event == "gap":
            return Event(told["after"], 0, "gap")
        self._last = message.id
        return Event(**told | {"tasks": tuple(Mark(**mark) for mark in told["tasks"])})

    def lost(self, error: httpx.TransportError) -> None:
        if self._tries == len(PAUSES_S):
            raise away(error)
        self._tries += 1

    @property
    def pause_s(self) -> float:
        return PAUSES_S[self._tries - 1] if self._tries else PAUSES_S[0]


# -- requests and replies --------------------------------------------------------------------------


def options(url: str, token: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is not the address of an API, like http://127.0.0.1:8000")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": TIMEOUT_S}


def words(ask: Ask) -> dict[str, Any]:
    words = {"method": ask.method, "url": ask.path, "params": ask.params, "headers": ask.headers}
    timeout = httpx.Timeout(TIMEOUT_S, read=ask.timeout_s)
    return words | {"timeout": timeout} | ({} if ask.json is None else {"json": ask.json})


def away(error: httpx.TransportError) -> BackendUnavailable:
    told = BackendUnavailable.__new__(BackendUnavailable, f"the API does not answer: {error!r}")
    told.problem = str(error)
    return told


def checked(reply: httpx.Response) -> httpx.Response:
    """The reply, or the error that it tells of."""
    if reply.status_code < 400:
        return reply
    try:
        told = dict(reply.json())
    except ValueError:  # a proxy's page
        told = {
            "detail": f"{reply.status_code} from {reply.url}, which is perhaps no miniqueue API"
        }
    detail = told.pop("detail", "")
    kind = KINDS.get(told.pop("title", ""), _kind(reply.status_code))
    error = kind.__new__(kind, detail)
    vars(error).update(told)
    raise error


def _kind(status: int) -> type[MiniQueueError]:
    """Of a reply that is not about a task."""
    if status in (429, 502, 503, 504):
        return BackendUnavailable
    return ConfigError if status in (401, 403, 422) else MiniQueueError
