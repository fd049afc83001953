"""What a worker's beat does for the whole queue: all that is due, in bounded steps."""

from __future__ import annotations

import pytest

from miniqueue import upkeep
from miniqueue.inspector import Inspector
from miniqueue.protocol.operations import AT_ONCE
from miniqueue.queue import Queue
from miniqueue.registry import TaskFunction
from miniqueue.worker import Worker

MANY = 3 * AT_ONCE + 50
Echo = TaskFunction[[object], object]


def scheduled(queue: Queue) -> int:
    count: int = queue.client.raw.zcard(queue.protocol.keys.scheduled)
    return count


def make_due(queue: Queue, echo: Echo) -> None:
    handles = queue.enqueue_many(echo.options(delay_s=3600), [(1,)] * MANY)
    queue.client.raw.zadd(queue.protocol.keys.scheduled, {handle.id: 1 for handle in handles})


def test_one_beat_promotes_all_that_is_due(worker: Worker, queue: Queue, echo: Echo) -> None:
    make_due(queue, echo)
    worker.beat()
    assert scheduled(queue) == 0
    assert Inspector(queue).check() == []


def test_one_beat_takes_back_all_lost_leases(worker: Worker, queue: Queue, echo: Echo) -> None:
    handles = queue.enqueue_many(echo, [(1,)] * MANY)
    for _ in range(0, MANY, 100):
        queue.client.run(queue.protocol.claim("dead", 100))
    running = queue.protocol.keys.running
    queue.client.raw.zadd(running, {handle.id: 1 for handle in handles})
    worker.beat()
    assert queue.client.raw.zcard(running) == 0
    assert Inspector(queue).check() == []


def test_a_beat_stays_short(
    worker: Worker, queue: Queue, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROUNDS", 1)
    make_due(queue, echo)
    worker.beat()
    assert scheduled(queue) == MANY - 2 * AT_ONCE
