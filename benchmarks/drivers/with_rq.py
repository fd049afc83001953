"""rq: SimpleWorker runs tasks in its own process, the default worker (fork) forks for each.

Retry is what makes rq run a task again whose worker has died.
"""

from __future__ import annotations

import sys

from done import mark
from driver import Peer, chunks, redis_url, run, setting
from redis import Redis
from rq import Queue, Retry

queue = Queue("default", connection=Redis.from_url(redis_url()))
retry = Retry(max=3)


def noop() -> None:
    mark()


def many(count: int) -> None:
    for size in chunks(count, 1000):
        queue.enqueue_many([Queue.prepare_data(noop, retry=retry) for _ in range(size)])


KINDS = {"simple": "rq.SimpleWorker", "fork": "rq.worker.Worker"}

PEER = Peer(
    worker=[
        *(sys.executable, "-m", "rq.cli", "worker", "--quiet", "--url", redis_url()),
        *("--worker-class", KINDS[setting("simple")], "default"),
    ],
    send=lambda: queue.enqueue(noop, retry=retry),
    many=many,
    ask=lambda: queue.enqueue(noop, retry=retry).latest_result(timeout=10),
)

if __name__ == "__main__":
    run("with_rq")
