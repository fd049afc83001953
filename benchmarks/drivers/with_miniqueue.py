"""miniqueue, as it comes, by its public names only."""

from __future__ import annotations

import sys

from bench_tasks import noop
from driver import Peer, run

from miniqueue import Queue

queue = Queue()

PEER = Peer(
    worker=[sys.executable, "-m", "miniqueue", "worker", "--import", "bench_tasks"],
    send=lambda: queue.enqueue(noop),
    many=lambda count: queue.enqueue_many(noop, [()] * count),
    ask=lambda: queue.enqueue(noop).wait(timeout_s=10),
)

if __name__ == "__main__":
    run("with_miniqueue")
