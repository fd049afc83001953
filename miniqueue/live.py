"""Live: what the dashboard shows of one queue: a digest of each second, and how things stand.

Made once for all the browsers of a process, and only while one looks. A browser that is slow
misses states, of which only the newest counts, and gets the digests later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from sse_starlette import ServerSentEvent

from miniqueue.digest import Digester
from miniqueue.errors import MiniQueueError
from miniqueue.feed import Feed, place
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import redis_time
from miniqueue.redis_client import AsyncClient
from miniqueue.task import encode_json

__all__ = ["Live"]

HISTORY_S = 300  # what a browser that has just come is shown
TICK_S = 1.0
IDLE_TICKS = 3  # while nothing happens the state is read at every third tick


class Live:
    """The stream of one queue's digests and states."""

    def __init__(self, client: AsyncClient, feed: Feed, inspector: Inspector, queue: str) -> None:
        self._client = client
        self._feed = feed
        self._inspector = inspector
        self._queue = queue
        self._browsers = 0
        self._past: deque[tuple[str, str]] = deque(maxlen=HISTORY_S)  # last event id, JSON
        self._depths: deque[list[int]] = deque(maxlen=HISTORY_S)
        self._state = ""
        self._news = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """No browser looks, and its work has ended."""
        return not self._browsers and self._worker is None

    async def stream(self, after: str = "") -> AsyncGenerator[ServerSentEvent]:
        """`state` and `digest` messages; the id of a digest is that of the last event in it."""
        self._browsers += 1
        try:
            if self._worker is None:
                self._past.clear()
                self._worker = asyncio.create_task(self._work())
            shown = ""
            yield _message("depths", list(self._depths))
            while True:
                news = self._news
                if self._state != shown:
                    shown = self._state
                    yield ServerSentEvent(shown, event="state")
                for last, text in list(self._past):
                    if place(last) > place(after):
                        after = last
                        yield ServerSentEvent(text, event="digest", id=last)
                await news.wait()
        finally:
            self._browsers -= 1

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        digester = Digester()
        reader = asyncio.create_task(self._read(digester))
        try:
            quiet = 0
            while self._browsers:
                happened = self._flush(digester)
                quiet = 0 if happened else quiet + 1
                if quiet % IDLE_TICKS == 0 or not self._state:
                    self._state = await asyncio.to_thread(self._look)
                news, self._news = self._news, asyncio.Event()
                news.set()
                await asyncio.sleep(TICK_S if self._past else TICK_S / 5)
        finally:
            self._worker = None  # before anything is awaited: who comes now starts another
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, digester: Digester) -> None:
        while True:
            try:
                after = digester.last or await self._history()
                async for page in self._feed.follow(after):
                    for event in page:
                        digester.add(event)
            except MiniQueueError:  # Redis is away: the state says so
                await asyncio.sleep(TICK_S)

    async def _history(self) -> str:
        now_ms = await self._client.run(redis_time())
        return f"{now_ms - HISTORY_S * 1000}-0"

    def _flush(self, digester: Digester) -> bool:
        digests = [digest.as_dict() for digest in digester.take()]
        if digests:
            self._past.append((digester.last, encode_json(digests)))
        return bool(digests)

    def _look(self) -> str:
        """How things stand, as JSON; an error is a state, too."""
        try:
            queue, now_ms = self._inspector.queue_info(self._queue), self._inspector.now_ms()
            later = queue.scheduled + queue.deferred
            self._depths.append([now_ms // 1000, *queue.ready.values(), later, queue.running])
            state: dict[str, Any] = {
                "now_ms": now_ms,
                "queue": asdict(queue),
                "queues": self._inspector.queue_names(),
                "workers": [worker.as_dict() for worker in self._inspector.workers()],
            }
        except MiniQueueError as error:
            state = {"error": str(error)}
        return encode_json(state)


def _message(event: str, value: Any) -> ServerSentEvent:
    return ServerSentEvent(encode_json(value), event=event)
