"""streaq, 64 tasks at once on uvloop; not by its command line, which writes two lines a task.

Of the 100 ms that waiting for a result takes, nearly all are the end of its subscription, in the
client (coredis).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

from done import mark
from driver import AsyncPeer, chunks, redis_url, run
from streaq import Worker

worker = Worker(redis_url=redis_url(), concurrency=64, anyio_kwargs={"use_uvloop": True})


@worker.task
async def noop() -> None:
    mark()


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[None]:
    async with worker:
        yield


async def send() -> None:
    await noop.enqueue()


async def many(count: int) -> None:
    for size in chunks(count, 1000):
        await worker.enqueue_many([noop.enqueue() for _ in range(size)])


async def ask() -> None:
    await (await noop.enqueue()).result(timeout=10)


PEER = AsyncPeer(
    worker=[sys.executable, "-c", "import with_streaq; with_streaq.worker.run_sync()"],
    session=session,
    send=send,
    many=many,
    ask=ask,
)

if __name__ == "__main__":
    run("with_streaq")
