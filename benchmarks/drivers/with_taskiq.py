"""taskiq on a Redis stream (acknowledged once the result is saved) or a list (a pop is final)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

from done import mark
from driver import AsyncPeer, redis_url, run, setting
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

if setting("stream") == "stream":
    broker = RedisStreamBroker(url=redis_url(), consumer_id="0")
else:
    broker = ListQueueBroker(url=redis_url())
broker = broker.with_result_backend(RedisAsyncResultBackend(redis_url=redis_url()))


@broker.task(task_name="noop")
async def noop() -> None:
    mark()


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


async def ask() -> None:
    await (await noop.kiq()).wait_result(check_interval=0.001, timeout=10)


PEER = AsyncPeer(
    worker=[
        *(sys.executable, "-m", "taskiq", "worker", "with_taskiq:broker"),
        *("--workers", "1", "--log-level", "ERROR"),
    ],
    session=session,
    send=noop.kiq,
    ask=ask,
)

if __name__ == "__main__":
    run("with_taskiq")
