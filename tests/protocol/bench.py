"""A bench to try one operation on: seed a whole queue, run, see everything that changed.

`Bench.changes()` compares two complete readings of the queue: every list, set, hash, event, hint,
token and TTL. A test that states the changes has therefore stated the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import Call, T, redis_time
from miniqueue.protocol.records import Completion, Failure, Submission
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from miniqueue.task import PRIORITIES

HOUR_MS = 3_600_000
SETS = {"scheduled": "scheduled", "running": "running", "failed": "failed"}
NEAR_MS = 1500  # how far apart two readings of a time may be
Snapshot = dict[str, Any]


def about(ms: float) -> Any:
    """A time in ms, give or take what a slow machine needs."""
    return pytest.approx(ms, abs=NEAR_MS)


def snapshot(client: Client, queue: Queue) -> Snapshot:
    """Every structure of the queue as plain data, by a readable path; also those made later."""
    raw, keys = client.raw, queue.protocol.keys
    found: Snapshot = {"wake": 0, "paused": bool(raw.exists(keys.paused)), "events": []}
    found |= {f"ready:{priority}": [] for priority in PRIORITIES}
    for key in raw.scan_iter(keys.prefix.replace("{", "\\{") + "*", count=1000):
        found |= _read(raw, key, key.removeprefix(keys.prefix))
    return found


def _read(raw: Any, key: str, name: str) -> Snapshot:
    """One key: its content by type, and its TTL. `task:ID` is told as `task ID`."""
    kind, ttl = raw.type(key), raw.pttl(key)
    path = name if name.startswith("ready:") else name.replace(":", " ", 1)
    found: Snapshot = {f"ttl {path}": ttl} if ttl >= 0 else {}
    if name == "wake":
        found[path] = raw.llen(key)
    elif kind == "list":
        found[path] = raw.lrange(key, 0, -1)
    elif kind == "stream":
        found[path] = [dict(fields) for _, fields in raw.xrange(key)]
    elif kind == "zset":
        scores = raw.zrange(key, 0, -1, withscores=True)
        found |= {f"{path} {member}": score for member, score in scores}
    elif kind == "hash":
        fields = raw.hgetall(key).items()
        found |= {f"{path} {field}": _field(name, field, text) for field, text in fields}
    elif name != "paused":
        found[path] = raw.get(key)
    return found


def _field(name: str, field: str, text: str) -> Any:
    if name == "stats":
        return int(text)
    return float(text) if field.endswith("_ms") else text


def differences(before: Snapshot, after: Snapshot) -> Snapshot:
    """Path -> new value (None: gone). Of the events only the new ones."""
    changed = {
        path: after.get(path)
        for path in {*before, *after}
        if not _same(path, before.get(path), after.get(path))
    }
    if "events" in changed:
        changed["events"] = after["events"][len(before["events"]) :]
    return changed


def _same(path: str, old: Any, new: Any) -> bool:
    if path.startswith("ttl ") and old is not None and new is not None:
        return bool(abs(old - new) < NEAR_MS)
    return bool(old == new)


class Bench:
    """A queue with bystanders in its sets; nothing that a test does may touch them."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.queue = Queue(settings=settings, client=client)
        self.protocol = self.queue.protocol
        self.keys = self.protocol.keys
        self.put("by-scheduled", "scheduled", at_ms=HOUR_MS)
        self.put("by-running", "running", at_ms=HOUR_MS, attempt=2)
        self.put("by-failed", "failed", at_ms=HOUR_MS, attempt=3)
        self.put("by-finished", "succeeded", at_ms=HOUR_MS, attempt=1)
        self._before = snapshot(client, self.queue)

    def now(self) -> int:
        """Redis' time in ms."""
        return self.client.run(redis_time())

    def in_ms(self, ms: float) -> Any:
        """About so many ms from now, on Redis' clock."""
        return about(self.now() + ms)

    def put(self, task_id: str, state: str = "queued", *, at_ms: int = 0, **fields: Any) -> str:
        """Write a task and its place directly; `at_ms` from now is its score in a set."""
        raw, key = self.client.raw, self.keys.task(task_id)
        attempt = {"attempt": 1, "worker": "w"} if state == "running" else {}
        basic = {"name": "echo", "args": "[]", "max_attempts": 3, "enqueued_ms": self.now()}
        raw.hset(key, mapping={**basic, "state": state, **attempt, **fields})
        if state == "queued":
            raw.rpush(self.ready(str(fields.get("priority", "normal"))), task_id)
        else:
            place: str = getattr(self.keys, SETS.get(state, "finished"))
            raw.zadd(place, {task_id: self.now() + at_ms})
        if state in ("succeeded", "failed", "cancelled"):
            raw.pexpire(key, max(1, at_ms))
        return task_id

    def put_all(self, ids: Iterable[str], state: str = "queued", **fields: Any) -> list[str]:
        return [self.put(task_id, state, **fields) for task_id in ids]

    def ready(self, priority: str) -> str:
        return self.keys.ready[[str(p) for p in PRIORITIES].index(priority)]

    def run(self, call: Call[T]) -> T:
        """Run one call on what was seeded; changes() then tells what it changed."""
        self._before = snapshot(self.client, self.queue)
        return self.client.run(call)

    def changes(self) -> Snapshot:
        """What the last run() changed. Also: the queue is consistent."""
        self.sound()
        return differences(self._before, snapshot(self.client, self.queue))

    def sound(self) -> None:
        """The inspector finds nothing wrong."""
        assert Inspector(self.queue).check() == []

    def fields(self, task_id: str) -> dict[str, str]:
        found: dict[str, str] = self.client.raw.hgetall(self.keys.task(task_id))
        return found


def sent(task_id: str, **changes: Any) -> Submission:
    """A submission of echo() with the defaults."""
    given = {"name": "echo", "args": "[]", "kwargs": "{}", "priority": "normal", "max_attempts": 3}
    return Submission(task_id, **{**given, **changes})


def result(task_id: str, attempt: int = 1, text: str = "7") -> Completion:
    """A result on its way in."""
    return Completion(task_id, attempt, text, started_ms=1000, run_ms=2.5)


def failure(task_id: str, state: str = "failed", attempt: int = 1, delay_ms: int = 0) -> Failure:
    """The end of an attempt without a result."""
    error = '{"type":"E","message":"m"}'
    return Failure(task_id, attempt, state, error, "E: m", delay_ms, started_ms=1000, run_ms=2.5)
