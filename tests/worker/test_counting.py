"""What a worker counts reaches Redis with its beat, and at its end."""

from __future__ import annotations

import pytest

from miniqueue import worker as worker_module
from miniqueue.errors import BackendUnavailable
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction
from miniqueue.worker import Worker
from tests.worker.running import Refuser, running, with_client, with_settings

Echo = TaskFunction[[object], object]


def done(queue: Queue) -> int:
    return Inspector(queue).counts().get("succeeded echo", 0)


def test_a_worker_that_stops_tells_its_last_runs(
    queue: Queue, registry: Registry, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "BEAT_S", 60.0)
    slow = with_settings(queue, lease_s=300.0)
    with running(Worker(slow, registry), queue):
        queue.enqueue(echo, 1).wait(5)
        assert done(queue) == 0
    assert done(queue) == 1


def test_a_beat_that_did_not_arrive_is_made_up_for(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    refuser = Refuser(queue.client)
    worker = Worker(with_client(queue, refuser), registry)
    worker.start()
    queue.enqueue(echo, 1)
    worker.run_once()
    refuser.away.set()
    with pytest.raises(BackendUnavailable):
        worker.beat()
    refuser.away.clear()
    for _ in range(2):
        worker.beat()
        assert done(queue) == 1


def test_a_worker_with_no_news_sends_none(queue: Queue, registry: Registry, echo: Echo) -> None:
    worker = Worker(queue, registry)
    worker.start()
    worker.beat()
    assert Inspector(queue).counts() == {}
