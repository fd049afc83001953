"""Feed: one reader of a queue's event stream for all who follow it in this process.

However many browsers look at a queue, Redis is read once. Nothing is buffered for a reader: each
has a place in the stream, the newest events are kept once for all, and who is further behind
reads from Redis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, entries
from miniqueue.protocol.keys import QueueKeys
from miniqueue.redis_client import AsyncClient
from miniqueue.views import Event, parse_events

__all__ = ["ENDING", "Feed", "place"]

BLOCK_MS = 1000
PAGE = 500  # events of one read
KEPT = 2000  # of the newest events, for those who are a little behind
# Verbs after which a task may have ended.
ENDING = ("complete", "fail", "cancel", "reclaim", "advance", "release", "purge")


class Feed:
    """The events of one queue. It reads only while somebody follows."""

    def __init__(self, client: AsyncClient, keys: QueueKeys) -> None:
        self._client = client
        self._key = keys.events
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._followers = 0
        self._recent: deque[Event] = deque(maxlen=KEPT)
        self._since = ""  # all events after this id, up to `_last`, are in `_recent`
        self._last = ""
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Nobody follows, and its reader has ended."""
        return not (self._followers or self._waiting or self._reading())

    # -- the end of one task ---------------------------------------------------------------------

    async def watch(self, task_id: str) -> asyncio.Event:
        """An event that is set when the task ends, be it an instant after this returns."""
        await self._start()
        ended = asyncio.Event()
        self._waiting.setdefault(task_id, set()).add(ended)
        return ended

    def forget(self, task_id: str, ended: asyncio.Event) -> None:
        """The coroutine waits no longer."""
        self._waiting.get(task_id, set()).discard(ended)
        if not self._waiting.get(task_id):
            self._waiting.pop(task_id, None)

    # -- all events ------------------------------------------------------------------------------

    async def follow(self, after: str = "") -> AsyncGenerator[list[Event]]:
        """Pages of events, in order and without a gap: those after an event id, or from now on.

        It never ends. An empty page comes first, so that the caller knows that nothing that
        happens from then on will be missed. Raises BackendUnavailable in the first step only.
        """
        self._followers += 1
        try:
            await self._start()
            last = after or self._last
            yield []
            while True:
                news = self._news  # taken before looking: what comes meanwhile sets it
                page = await self._after(last)
                if page:
                    last = page[-1].id
                    yield page
                else:
                    await news.wait()
        finally:
            self._followers -= 1

    async def lost(self, after: str) -> bool:
        """Whether events behind this id may have been dropped from the capped stream."""
        first: Call[str] = Call("XRANGE", (self._key,), ("-", "+", "COUNT", 1), _first_id)
        here: Call[str] = Call("XRANGE", (self._key,), (after, after), _first_id)
        oldest, found = await asyncio.gather(self._client.run(first), self._client.run(here))
        return found == "0-0" and place(oldest) > place(after)

    async def _after(self, last: str) -> list[Event]:
        if place(last) >= place(self._since):
            behind = []
            for event in reversed(self._recent):
                if place(event.id) <= place(last):
                    break
                behind.append(event)
            return behind[: -PAGE - 1 : -1]
        words = (f"({last}", "+", "COUNT", PAGE)
        call: Call[list[Event]] = Call("XRANGE", (self._key,), words, parse_events)
        try:
            return await self._client.run(call)
        except BackendUnavailable:
            return []  # the reader meets the same, and tells when it is over

    # -- reading ---------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _start(self) -> None:
        if self._reading():
            return
        newest: Call[str] = Call("XREVRANGE", (self._key,), ("+", "-", "COUNT", 1), _first_id)
        last = await self._client.run(newest)
        if not self._reading():  # another coroutine may have been faster
            self._recent.clear()
            self._since = self._last = last
            self._reader = asyncio.create_task(self._read())

    def _reading(self) -> bool:
        return self._reader is not None and not self._reader.done()

    async def _read(self) -> None:
        idle = False
        while self._waiting or self._followers or not idle:
            idle = not (self._waiting or self._followers)
            words = ("BLOCK", BLOCK_MS, "COUNT", PAGE, "STREAMS", self._key, self._last)
            try:
                events = await self._client.run_alone(Call("XREAD", (), words, _stream))
            except BackendUnavailable:
                await asyncio.sleep(0.2)
                events = []
            if events:
                self._keep(events)
            self._tell()  # after an outage too: who is behind tries again

    def _keep(self, events: list[Event]) -> None:
        for event in events:
            if len(self._recent) == KEPT:
                self._since = self._recent[0].id
            self._recent.append(event)
            self._last = event.id
            if event.verb in ENDING:
                for mark in event.tasks:
                    for ended in self._waiting.get(mark.task_id, ()):
                        ended.set()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def place(event_id: str) -> tuple[int, int]:
    """Where an id stands in its stream: its two numbers."""
    ms, _, number = event_id.partition("-")
    return int(ms or 0), int(number or 0)


def _first_id(reply: Any) -> str:
    events = parse_events(reply)
    return events[0].id if events else "0-0"


def _stream(reply: Any) -> list[Event]:
    return parse_events(entries(reply))
