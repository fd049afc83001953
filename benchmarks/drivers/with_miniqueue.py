"""miniqueue, as it comes, by its public names only; or without one of its choices (without.py)."""

from __future__ import annotations

import sys

from driver import Peer, run, setting
from without import __file__ as without
from without import take_away

take_away(setting())

from bench_tasks import noop  # noqa: E402

from miniqueue import Queue  # noqa: E402

queue = Queue()
start = [without, setting()] if setting() else ["-m", "miniqueue"]

PEER = Peer(
    worker=[sys.executable, *start, "worker", "--import", "bench_tasks"],
    send=lambda: queue.enqueue(noop),
    many=lambda count: queue.enqueue_many(noop, [()] * count),
    ask=lambda: queue.enqueue(noop).wait(timeout_s=10),
)

if __name__ == "__main__":
    run("with_miniqueue")
