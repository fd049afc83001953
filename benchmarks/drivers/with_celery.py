"""celery, one process (-P solo) that prefetches 64 and acknowledges after the task."""

from __future__ import annotations

import sys

from celery import Celery, group
from done import mark
from driver import Peer, chunks, redis_url, run

app = Celery("with_celery", broker=redis_url(), backend=redis_url())
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=64,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop() -> None:
    mark()


def many(count: int) -> None:
    for size in chunks(count, 1000):
        group(noop.s() for _ in range(size)).delay()


PEER = Peer(
    worker=[
        *(sys.executable, "-m", "celery", "--app", "with_celery", "worker", "--loglevel", "ERROR"),
        *("--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ],
    send=noop.delay,
    many=many,
    ask=lambda: noop.delay().get(timeout=10),
)

if __name__ == "__main__":
    run("with_celery")
