"""arq, tuned: 200 jobs at once and a look every 10 ms (as it comes: 10 jobs, every 500 ms)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from done import mark
from driver import AsyncPeer, redis_url, run

connected: dict[str, ArqRedis] = {}


async def noop(ctx: dict[str, Any]) -> None:
    mark()


class WorkerSettings:
    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(redis_url())
    max_jobs = 200
    queue_read_limit = 200
    poll_delay = 0.01


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[None]:
    connected["pool"] = await create_pool(WorkerSettings.redis_settings)
    yield
    await connected["pool"].aclose()


async def send() -> Any:
    return await connected["pool"].enqueue_job("noop")


async def ask() -> None:
    await (await send()).result(timeout=10, poll_delay=0.001)


PEER = AsyncPeer(
    worker=[
        sys.executable,
        "-m",
        "arq",
        "with_arq.WorkerSettings",
        "--custom-log-dict",
        "with_arq.LOG",
    ],
    session=session,
    send=send,
    ask=ask,
)
LOG = {"version": 1}  # it would write two lines a task

if __name__ == "__main__":
    run("with_arq")
