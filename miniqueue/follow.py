"""Follow: one reader of a queue's events for all the requests of a process that wait for a task."""

from __future__ import annotations

import asyncio
from typing import Any

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, entries
from miniqueue.protocol.keys import QueueKeys
from miniqueue.redis_client import AsyncClient
from miniqueue.views import Event, parse_events

__all__ = ["Follower"]

BLOCK_MS = 1000


class Follower:
    """Wakes coroutines when something happens to their task. It reads only while somebody waits."""

    def __init__(self, client: AsyncClient, keys: QueueKeys) -> None:
        self._client = client
        self._key = keys.events
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._last = ""
        self._reader: asyncio.Task[None] | None = None

    async def watch(self, task_id: str) -> asyncio.Event:
        """An event that is set when the task ends, be it an instant after this returns."""
        if self._reader is None or self._reader.done():
            newest: Call[str] = Call("XREVRANGE", (self._key,), ("+", "-", "COUNT", 1), _last_id)
            self._last = await self._client.run(newest)
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read())
        ended = asyncio.Event()
        self._waiting.setdefault(task_id, set()).add(ended)
        return ended

    def forget(self, task_id: str, ended: asyncio.Event) -> None:
        """The coroutine waits no longer."""
        self._waiting.get(task_id, set()).discard(ended)
        if not self._waiting.get(task_id):
            self._waiting.pop(task_id, None)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        idle = False
        while self._waiting or not idle:
            idle = not self._waiting
            words = ("BLOCK", BLOCK_MS, "COUNT", 500, "STREAMS", self._key, self._last)
            try:
                events = await self._client.run_alone(Call("XREAD", (), words, _stream))
            except BackendUnavailable:
                await asyncio.sleep(0.2)
                continue
            for event in events:
                self._last = event.id
                self._wake(event)

    def _wake(self, event: Event) -> None:
        if event.verb in ("complete", "fail", "cancel", "reclaim"):
            for mark in event.tasks:
                for ended in self._waiting.get(mark.task_id, ()):
                    ended.set()


def _last_id(reply: Any) -> str:
    events = parse_events(reply)
    return events[0].id if events else "0-0"


def _stream(reply: Any) -> list[Event]:
    return parse_events(entries(reply))
