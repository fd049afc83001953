"""huey, one worker process; whoever waits for a result polls, or is told (notify_result)."""

from __future__ import annotations

import sys

from done import mark
from driver import Peer, redis_url, run, setting
from huey import RedisHuey

NOTIFY = setting("plain") == "notify"

huey = RedisHuey("bench", url=redis_url(), store_none=True, notify_result=NOTIFY)


@huey.task()
def noop() -> None:
    mark()


PEER = Peer(
    worker=[
        *(sys.executable, "-m", "huey.bin.huey_consumer", "with_huey.huey"),
        *("--worker-type", "process", "--workers", "1", "--quiet", "--no-periodic"),
    ],
    send=noop,
    ask=lambda: noop().get(blocking=True, timeout=10),
)

if __name__ == "__main__":
    run("with_huey")
