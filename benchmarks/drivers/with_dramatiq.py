"""dramatiq, one process of 8 threads that prefetches 64; with its Results middleware or without."""

from __future__ import annotations

import sys

import dramatiq
from done import mark
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from driver import Peer, redis_url, run, setting

RESULTS = setting("no-results") == "results"

broker = RedisBroker(url=redis_url())
if RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=redis_url())))
dramatiq.set_broker(broker)


@dramatiq.actor(**({"store_results": True} if RESULTS else {}))
def noop() -> None:
    mark()


PEER = Peer(
    worker=[
        *(sys.executable, "-m", "dramatiq", "with_dramatiq"),
        *("--processes", "1", "--threads", "8", "--skip-logging"),
    ],
    environ={"dramatiq_queue_prefetch": "64"},
    send=noop.send,
    ask=(lambda: noop.send().get_result(block=True, timeout=10_000)) if RESULTS else None,
)

if __name__ == "__main__":
    run("with_dramatiq")
