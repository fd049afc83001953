"""saq, 50 tasks at once on uvloop. Without retries it would drop a task whose worker has died.

A worker that starts sweeps: of a full queue it takes a task that it has claimed a moment ago for
lost, and runs it twice, so a count may end at one more than was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import uvloop
from done import mark
from driver import AsyncPeer, redis_url, run
from saq import Queue

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # its command line knows no uvloop

queue = Queue.from_url(redis_url())
RETRIES = 3


async def noop(ctx: object) -> None:
    mark()


settings = {"queue": queue, "functions": [noop], "concurrency": 50}


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[None]:
    await queue.connect()
    yield
    await queue.disconnect()


PEER = AsyncPeer(
    worker=[sys.executable, "-m", "saq", "with_saq.settings", "--quiet"],
    session=session,
    send=lambda: queue.enqueue("noop", retries=RETRIES),
    # job.refresh() is quicker, but misses the message of a task that ends while it subscribes
    ask=lambda: queue.apply("noop", timeout=10, poll_interval=0.001, retries=RETRIES),
)

if __name__ == "__main__":
    run("with_saq")
