"""Live: who comes while the last one leaves is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from miniqueue import live
from miniqueue.feed import Feed
from miniqueue.inspector import Inspector
from miniqueue.live import Live
from miniqueue.protocol.keys import QueueKeys
from miniqueue.queue import Queue
from miniqueue.redis_client import Client, connect_async
from miniqueue.settings import Settings
from miniqueue.views import Event


class SlowToLeave(Feed):
    """A feed that is left only when it is told so."""

    followed: asyncio.Event
    leaving: asyncio.Event
    may_go: asyncio.Event

    async def follow(self, after: str = "") -> AsyncGenerator[list[Event]]:
        try:
            async for page in super().follow(after):
                self.followed.set()
                yield page
        finally:
            self.leaving.set()
            await self.may_go.wait()


def test_a_browser_that_comes_while_the_last_one_leaves_is_told_how_things_stand(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK_S", 0.02)
    queue = Queue(settings=settings, client=client)

    async def main() -> None:
        async_client = connect_async(settings)
        feed = SlowToLeave(async_client, QueueKeys(settings.namespace, queue.name))
        feed.followed, feed.leaving, feed.may_go = (asyncio.Event() for _ in range(3))
        shown = Live(async_client, feed, Inspector(queue), queue.name)
        async with asyncio.timeout(5):
            first = shown.stream()
            assert [(await anext(first)).event for _ in range(2)] == ["depths", "state"]
            await feed.followed.wait()  # a state may come before the feed is read
            await first.aclose()
            await feed.leaving.wait()
            second = shown.stream()
            queue.pause()
            while '"paused":true' not in str((await anext(second)).data):
                pass
            await second.aclose()
            feed.may_go.set()
            await shown.close()
            await feed.close()
            await async_client.close()

    asyncio.run(main())
