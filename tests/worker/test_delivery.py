"""R6, R10, R11: how results and hints travel, and what an outage costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from miniqueue.inspector import Inspector
from miniqueue.lane import Waiting
from miniqueue.protocol.calls import Call
from miniqueue.queue import Queue
from miniqueue.redis_client import Client, Sent
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.processes import wait_for
from tests.protocol.bench import Bench
from tests.worker.running import Recorder, Refuser, running, with_client, with_settings

Echo = TaskFunction[[object], object]


@pytest.fixture
def recorder(client: Client) -> Recorder:
    return Recorder(client)


@pytest.fixture
def refuser(client: Client) -> Refuser:
    return Refuser(client)


def blocked_clients(client: Client) -> int:
    count: int = client.raw.info("clients")["blocked_clients"]
    return count


# -- R10 -------------------------------------------------------------------------------------------


def test_r10_results_travel_with_the_next_claim(
    queue: Queue, registry: Registry, echo: Echo, recorder: Recorder
) -> None:
    lane = Worker(with_client(queue, recorder), registry).lanes[0]
    queue.enqueue_many(echo, [(1,), (2,)])
    for _ in range(3):
        lane.turn(wait_s=0)
    assert recorder.trips == [["claim"], ["complete", "claim"], ["complete", "claim"]]


def test_r10_successes_and_failures_share_one_round_trip(
    queue: Queue, registry: Registry, echo: Echo, recorder: Recorder
) -> None:
    @task(registry=registry)
    def bad() -> None:
        raise ValueError

    worker = Worker(with_client(queue, recorder), registry)
    for _ in range(40):
        for name in ("echo", "bad"):
            worker.lanes[0].shared.pace.ran(name, 0.0001)
    handles = [queue.enqueue(echo, 1), queue.enqueue(bad), queue.enqueue(echo, 2)]
    worker.lanes[0].turn(wait_s=0)
    worker.lanes[0].turn(wait_s=0)
    assert recorder.trips == [["claim"], ["complete", "fail", "claim"]]
    assert [handle.state for handle in handles] == ["succeeded", "scheduled", "succeeded"]


def test_r10_a_worker_without_more_work_sends_at_once(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    with running(Worker(queue, registry), queue):
        began = time.monotonic()
        assert queue.enqueue(echo, 1).wait(timeout_s=5) == 1
        assert queue.enqueue(echo, 2).wait(timeout_s=5) == 2
        assert time.monotonic() - began < 0.9


def test_r10_a_lane_that_waits_for_its_turn_sends_first(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    two_lanes = with_settings(queue, concurrency=2)
    with running(Worker(two_lanes, registry), queue):
        for i in range(6):
            began = time.monotonic()
            assert queue.enqueue(echo, i).wait(timeout_s=5) == i
            assert time.monotonic() - began < 0.9


def test_lanes_run_at_the_same_time(queue: Queue, registry: Registry) -> None:
    barrier = threading.Barrier(3)

    @task(registry=registry)
    def meet() -> int:
        return barrier.wait(5) >= 0

    handles = queue.enqueue_many(meet, [()] * 3)
    with running(Worker(with_settings(queue, concurrency=3), registry), queue):
        assert [handle.wait(timeout_s=5) for handle in handles] == [True] * 3
    assert Inspector(queue).check() == []


# -- R6 --------------------------------------------------------------------------------------------


def test_r6_a_hint_wakes_an_idle_worker(queue: Queue, registry: Registry, echo: Echo) -> None:
    with running(Worker(queue, registry), queue):
        for i in range(3):
            wait_for(lambda: blocked_clients(queue.client) == 1)
            began = time.monotonic()
            queue.enqueue(echo, i).wait(timeout_s=5)
            assert time.monotonic() - began < 0.6


def test_r6_a_lost_hint_costs_a_second_at_most(
    client: Client, settings: Settings, queue: Queue, registry: Registry, echo: Echo
) -> None:
    bench = Bench(client, settings)
    with running(Worker(queue, registry), queue):
        wait_for(lambda: blocked_clients(client) == 1)
        began = time.monotonic()
        bench.put("silent", args="[1]")  # no hint comes with it
        assert queue.wait("silent", timeout_s=3).result == 1
        assert time.monotonic() - began < 1.6


def test_r6_an_idle_worker_does_not_poll_faster_than_once_a_second(
    queue: Queue, registry: Registry, recorder: Recorder
) -> None:
    with running(Worker(with_client(queue, recorder), registry), queue):
        wait_for(lambda: blocked_clients(queue.client) == 1)
        known, began = len(recorder.trips_with("claim")), time.monotonic()
        wait_for(lambda: len(recorder.trips_with("claim")) >= known + 2)
        assert time.monotonic() - began > 1.5


def test_r6_a_scheduled_task_starts_when_it_is_due(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    with running(Worker(queue, registry), queue):
        handle = queue.enqueue(echo.options(delay_s=0.3), 1)
        assert handle.wait(timeout_s=5) == 1
    done = handle.get()
    assert done.due_ms is not None
    assert done.started_ms is not None
    assert 0 <= done.started_ms - done.due_ms < 1200


# -- R11 -------------------------------------------------------------------------------------------


def test_r11_an_outage_keeps_results_and_sends_them_later(
    queue: Queue, registry: Registry, refuser: Refuser
) -> None:
    @task(registry=registry)
    def job() -> str:
        refuser.away.set()  # Redis goes away while it runs
        return "kept"

    handle = queue.enqueue(job)
    with running(Worker(with_client(queue, refuser), registry), queue):
        wait_for(lambda: refuser.refused >= 2)
        assert handle.state == "running"
        refuser.away.clear()
        assert handle.wait(timeout_s=5) == "kept"
    assert handle.get().attempt == 1


def test_r11_results_that_could_not_be_sent_keep_their_order(
    queue: Queue, registry: Registry, echo: Echo, refuser: Refuser
) -> None:
    lane = Worker(with_client(queue, refuser), registry).lanes[0]
    handles = queue.enqueue_many(echo, [(1,), (2,)])
    lane.turn(wait_s=0)
    refuser.away.set()
    lane.relieve()
    assert [result.id for result in lane.results] == [handles[0].id]
    refuser.away.clear()
    lane.turn(wait_s=0)
    lane.relieve()
    assert [handle.state for handle in handles] == ["succeeded", "succeeded"]


def test_r11_a_worker_waits_for_a_redis_that_is_not_there_yet(
    queue: Queue, registry: Registry, echo: Echo, refuser: Refuser
) -> None:
    refuser.away.set()
    handle = queue.enqueue(echo, 1)
    with running(Worker(with_client(queue, refuser), registry), queue):
        wait_for(lambda: refuser.refused >= 1)
        refuser.away.clear()
        assert handle.wait(timeout_s=5) == 1


def test_r11_a_redis_that_may_not_write_for_a_while_does_not_end_a_worker(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    """A failover without replicas answers every script with an error (NOREPLICAS)."""
    raw = queue.client.raw
    with running(Worker(with_settings(queue, lease_s=0.6), registry), queue):
        assert queue.enqueue(echo, 1).wait(timeout_s=5) == 1
        try:
            raw.config_set("min-replicas-to-write", 1)
            errors = raw.info("stats")["total_error_replies"]
            wait_for(lambda: raw.info("stats")["total_error_replies"] > errors + 2, 3)
        finally:
            raw.config_set("min-replicas-to-write", 0)
        assert queue.enqueue(echo, 2).wait(timeout_s=5) == 2


def test_r11_scripts_are_sent_again_after_redis_forgot_them(
    worker: Worker, queue: Queue, echo: Echo
) -> None:
    first = queue.enqueue(echo, 1)
    worker.lanes[0].turn(wait_s=0)
    queue.client.raw.script_flush()
    second = queue.enqueue(echo, 2)
    worker.lanes[0].turn(wait_s=0)
    worker.lanes[0].relieve()
    assert (first.get().result, second.get().result) == (1, 2)


class Standstill(Client):
    """This process stands still for longer than a lease between a claim and its answer."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(client.raw)
        self.asleep = 0.0
        self.then: Callable[[], object] = lambda: None
        monkeypatch.setattr("miniqueue.lane.time", self)
        monkeypatch.setattr("miniqueue.worker.time", self)

    def monotonic(self) -> float:
        return time.monotonic() + self.asleep

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        sent = super().send(calls)
        if any(call.name == "claim" for call in calls):
            self.asleep += 60
            self.then()
        return sent


def test_r3_a_claim_whose_answer_was_late_is_not_started(
    queue: Queue, registry: Registry, echo: Echo, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `miniqueue chaos`: a worker that was frozen between a claim and its answer."""
    handle = queue.enqueue(echo, 1)
    standstill = Standstill(client, monkeypatch)
    lane = Worker(with_client(queue, standstill), registry).lanes[0]
    assert lane.turn(wait_s=0) == 0
    assert handle.state == "running"  # until its lease is seen to have run out


def test_r3_a_beat_renews_only_what_was_there_when_it_left(
    queue: Queue, registry: Registry, echo: Echo, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue(echo, 1)
    standstill = Standstill(client, monkeypatch)
    worker = Worker(with_client(queue, standstill), registry)
    standstill.then = worker.beat  # it does not know of the task yet
    assert worker.lanes[0].turn(wait_s=0) == 0


def test_r3_a_batch_gathers_nothing_whose_lease_is_over(
    queue: Queue, registry: Registry, client: Client
) -> None:
    ran: list[list[int]] = []

    @task(registry=registry, batch=4)
    def many(items: list[int]) -> list[int]:
        ran.append(items)
        return items

    lane = Worker(queue, registry).lanes[0]
    queue.enqueue_many(many, [(1,), (2,)])
    fresh, stale = client.run(queue.protocol.claim("w", 2)).tasks
    now, long_ago = time.monotonic(), time.monotonic() - 60
    lane.backlog.append(Waiting(stale, 0, long_ago, long_ago))
    assert lane._run(Waiting(fresh, 0, now, now)) == 1
    assert ran == [[1]]
