"""R9: a worker holds no more than it expects to start in time; a slow task hides no fast ones."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from miniqueue.errors import BackendUnavailable
from miniqueue.inspector import Inspector
from miniqueue.lane import Lane
from miniqueue.queue import Queue, TaskHandle
from miniqueue.redis_client import Sent
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker
from tests.processes import wait_for
from tests.worker.running import running, started, with_settings


class Gate:
    """A function that runs until the gate opens, if its argument says so."""

    def __init__(self, registry: Registry) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()

        @task(registry=registry, name="job")
        def job(block: bool) -> bool:
            if block:
                self.entered.set()
                self.open.wait(8)
            return block

        self.job: TaskFunction[[bool], bool] = job


@pytest.fixture
def gate(registry: Registry) -> Gate:
    return Gate(registry)


def released(handle: TaskHandle) -> bool:
    return handle.get().released == 1


def claim_sizes(queue: Queue) -> list[int]:
    return [len(e.tasks) for e in Inspector(queue).events(limit=1000) if e.verb == "claim"]


def test_r9_claims_grow_when_tasks_are_fast(worker: Worker, queue: Queue, gate: Gate) -> None:
    queue.enqueue_many(gate.job, [(False,)] * 300)
    while worker.run_once():
        pass
    sizes = claim_sizes(queue)
    assert sizes[0] == 1
    assert max(sizes) >= 10
    assert sum(sizes) == 300


def test_r9_claims_stay_at_one_for_functions_never_seen(worker: Worker, queue: Queue) -> None:
    assert queue.client.run(queue.protocol.claim("x", 1)).tasks == []
    assert worker.lanes[0].shared.pace.limit() == 1


def test_r9_a_slow_task_hands_its_followers_back(
    worker: Worker, queue: Queue, registry: Registry, gate: Gate
) -> None:
    slow = queue.enqueue(gate.job, True)
    fast = queue.enqueue_many(gate.job, [(False,)] * 5)
    with running(started(worker, registry), queue):
        for handle in fast:  # they are claimed with the slow one, and come back
            wait_for(partial(released, handle))
            assert (handle.state, handle.get().attempt) == ("queued", 1)
        other = Worker(queue, registry, name="other")
        while other.run_once():
            pass
        assert [handle.state for handle in fast] == ["succeeded"] * 5
        assert slow.state == "running"
        gate.open.set()
        assert slow.wait(timeout_s=5) is True
    assert claim_sizes(queue)[0] == 6
    assert Inspector(queue).check() == []


def test_r9_what_cannot_start_in_time_is_released_at_once(
    worker: Worker, queue: Queue, registry: Registry, gate: Gate
) -> None:
    started(worker, registry)

    @task(registry=registry)
    def stranger() -> None: ...

    first, second = queue.enqueue(stranger), queue.enqueue(stranger)
    assert worker.run_once() == 1
    assert first.state == "succeeded"
    waiting = second.get()
    assert (waiting.state, waiting.attempt, waiting.tries) == ("queued", 1, 0)
    assert claim_sizes(queue) == [2]


def test_r10_a_slow_task_does_not_hold_back_the_results_before_it(
    worker: Worker, queue: Queue, registry: Registry, gate: Gate
) -> None:
    fast, slow = queue.enqueue(gate.job, False), queue.enqueue(gate.job, True)
    with running(started(worker, registry), queue):
        gate.entered.wait(5)
        assert fast.wait(timeout_s=3) is False
        assert slow.state == "running"
        gate.open.set()
    assert claim_sizes(queue)[0] == 2


# -- asking ahead ----------------------------------------------------------------------------------


@pytest.fixture
def busy(queue: Queue, registry: Registry, gate: Gate) -> tuple[Lane, list[TaskHandle]]:
    """A lane that has four fast tasks to run and has asked for four more, of ten."""
    handles = queue.enqueue_many(gate.job, [(False,)] * 10)
    lane = started(Worker(with_settings(queue, batch=4), registry), registry).lanes[0]
    lane.fetch(0)
    lane.ask_ahead()
    return lane, handles


def states(handles: list[TaskHandle]) -> list[str]:
    return [handle.state.value for handle in handles]


def test_r10_the_next_tasks_are_claimed_while_the_lane_works(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, handles = busy
    wait_for(lambda: claim_sizes(queue) == [4, 4])
    assert lane.work() == 4
    lane.fetch(0)
    lane.ask_ahead()  # the results of the first four go with it
    wait_for(lambda: states(handles) == ["succeeded"] * 4 + ["running"] * 6)
    assert claim_sizes(queue) == [4, 4, 2]


def test_r10_results_leave_before_the_next_tasks_are_read(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, handles = busy
    lane.work()
    lane.ask_ahead()
    wait_for(lambda: states(handles) == ["succeeded"] * 4 + ["running"] * 6)
    assert [ahead.most for ahead in lane.ahead] == [4, 4]


def test_r9_no_more_than_two_claims_are_held_or_on_their_way(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, _ = busy
    for _ in range(3):
        lane.ask_ahead()
    assert len(lane.ahead) == 1  # the other one is the backlog
    lane.work()
    for _ in range(3):
        lane.ask_ahead()
    assert len(lane.ahead) == 2


def test_r6_a_lane_that_has_run_dry_asks_for_nothing_ahead(
    busy: tuple[Lane, list[TaskHandle]],
) -> None:
    lane, handles = busy
    for _ in range(6):
        lane.work()
        lane.ask_ahead()
        lane.fetch(0)
        lane.ask_ahead()
    assert states(handles) == ["succeeded"] * 10
    assert not lane.ahead


def test_r9_what_is_on_its_way_when_a_task_is_slow_goes_back(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, handles = busy
    lane.relieve()
    assert states(handles) == ["queued"] * 10
    assert queue.client.raw.lrange(queue.protocol.keys.ready[1], 0, -1) == [h.id for h in handles]
    assert Inspector(queue).check() == []


def test_r9_a_lane_with_one_task_asks_for_no_more(
    queue: Queue, registry: Registry, gate: Gate
) -> None:
    queue.enqueue_many(gate.job, [(False,)] * 2)
    lane = started(Worker(with_settings(queue, batch=1), registry), registry).lanes[0]
    lane.fetch(0)
    lane.ask_ahead()
    assert not lane.ahead


def test_r11_results_on_their_way_when_redis_hangs_up_are_sent_again(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, handles = busy
    lane.work()
    lane.fetch(0)
    raw = queue.client.raw
    raw.client_pause(5000, all=False)  # writes alone
    lane.ask_ahead()  # never carried out: the connection ends first
    for client in raw.client_list():
        raw.client_kill_filter(_id=client["id"], skipme=True)
    raw.client_unpause()
    with pytest.raises(BackendUnavailable):
        lane.fetch(0)
    assert len(lane.results) == 4
    lane.relieve()
    assert states(handles)[:4] == ["succeeded"] * 4


def test_r11_of_two_claims_on_their_way_one_that_fails_does_not_hold_back_the_other(
    busy: tuple[Lane, list[TaskHandle]], queue: Queue
) -> None:
    lane, handles = busy
    lane.work()
    lane.ask_ahead()
    wait_for(lambda: claim_sizes(queue) == [4, 4, 2])
    lost = lane.ahead[0].sent

    def hung_up() -> list[object]:
        lost.replies()
        raise BackendUnavailable("Redis hung up")

    lane.ahead[0] = lane.ahead[0]._replace(sent=Sent(hung_up))
    lane.relieve()
    assert states(handles) == ["succeeded"] * 4 + ["running"] * 4 + ["queued"] * 2
