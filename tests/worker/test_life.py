"""A worker's life: announcing itself, beating, looking after the queue, leaving; R5."""

from __future__ import annotations

import time

import pytest

from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import redis_time
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.worker import Worker, main
from tests.processes import wait_for
from tests.protocol.bench import about
from tests.worker.running import running

Echo = TaskFunction[[object], object]
DAY_S = 86_400


def redis_ms(queue: Queue) -> int:
    return queue.client.run(redis_time())


def test_a_worker_announces_its_functions_and_itself(
    worker: Worker, queue: Queue, echo: Echo
) -> None:
    worker.start()
    inspector = Inspector(queue)
    assert inspector.functions().keys() == {"echo"}
    (info,) = inspector.workers()
    assert (info.id, info.queue, info.concurrency, info.alive) == ("w1", "default", 1, True)
    assert queue.client.raw.ttl("mq:functions") > 6 * DAY_S
    assert 0 < queue.client.raw.ttl("mq:worker:w1") <= 60


def test_a_worker_says_what_it_does(queue: Queue, registry: Registry, worker: Worker) -> None:
    seen = []

    @task(registry=registry)
    def look() -> None:
        worker.beat()
        seen.extend(Inspector(queue).workers())

    handle = queue.enqueue(look)
    worker.run_once()
    assert seen[0].doing == [handle.id]
    worker.beat()
    assert (Inspector(queue).workers()[0].doing, Inspector(queue).workers()[0].done) == ([], 1)


def test_a_worker_that_stops_hands_on_the_hint_that_came_to_it(
    queue: Queue, registry: Registry
) -> None:
    wake = queue.protocol.keys.wake
    with running(Worker(queue, registry), queue):
        wait_for(lambda: queue.client.raw.info("clients")["blocked_clients"])
    assert queue.client.raw.lrange(wake, 0, -1) == ["1"]


def test_a_worker_that_stopped_is_no_longer_listed(queue: Queue, registry: Registry) -> None:
    inspector = Inspector(queue)
    with running(Worker(queue, registry), queue):
        wait_for(inspector.workers)
    assert inspector.workers() == []


def test_r7_workers_that_do_not_beat_are_forgotten(worker: Worker, queue: Queue) -> None:
    queue.client.raw.zadd("mq:workers", {"dead": redis_ms(queue) - 61_000})
    worker.beat()
    assert queue.client.raw.zrange("mq:workers", 0, -1) == ["w1"]


def test_r4_every_worker_looks_after_the_queue(worker: Worker, queue: Queue, echo: Echo) -> None:
    keys = queue.protocol.keys
    scheduled = queue.enqueue(echo.options(delay_s=60), 1)
    lost = queue.enqueue(echo, 2)
    queue.client.run(queue.protocol.claim("dead", 1))
    queue.client.raw.zadd(keys.scheduled, {scheduled.id: 1}, xx=True)
    queue.client.raw.zadd(keys.running, {lost.id: 1}, xx=True)
    queue.client.raw.zadd(keys.finished, {"forgotten": 1})
    worker.beat()
    assert (scheduled.state, lost.state) == ("queued", "queued")
    assert queue.client.raw.zcard(keys.finished) == 0


def test_a_beat_renews_what_the_worker_holds(queue: Queue, registry: Registry) -> None:
    worker = Worker(queue, registry)
    leases: list[float] = []

    @task(registry=registry)
    def look() -> None:
        score = queue.client.raw.zscore
        queue.client.raw.zadd(queue.protocol.keys.running, {handle.id: redis_ms(queue) + 50})
        worker.beat()
        leases.append(score(queue.protocol.keys.running, handle.id))

    handle = queue.enqueue(look)
    worker.run_once()
    assert leases == [about(redis_ms(queue) + 5000)]


@pytest.mark.parametrize("shared", [[], ["sample"]], ids=["nothing shared", "built-ins shared"])
def test_r11_workers_of_different_functions_all_announce_again(
    queue: Queue, shared: list[str]
) -> None:
    """Redis came back empty; what one of them tells must not keep the others silent."""
    workers = []
    for own in ("one", "two"):
        registry = Registry()
        for name in [*shared, own]:
            task(registry=registry, name=name)(lambda: None)
        workers.append(Worker(queue, registry, name=own))
        workers[-1].start()
    queue.client.raw.flushdb()
    for worker in workers * 2:
        worker.beat()
    assert Inspector(queue).functions().keys() == {*shared, "one", "two"}


def test_announced_functions_live_as_long_as_a_worker(
    worker: Worker, queue: Queue, echo: Echo
) -> None:
    """A worker may run for longer than the week that they are kept."""
    worker.start()
    queue.client.raw.expire("mq:functions", 5)
    worker.beat()
    assert queue.client.raw.ttl("mq:functions") > 5


# -- R5 --------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine is a day ahead of Redis'."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + DAY_S)
    clock_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock_ns() + DAY_S * 10**9)


@pytest.mark.usefixtures("wrong_clock")
def test_r5_no_time_in_the_queue_comes_from_a_workers_clock(
    queue: Queue, registry: Registry, echo: Echo
) -> None:
    @task(registry=registry)
    def bad() -> None:
        raise ValueError

    worker = Worker(queue, registry)
    handles = [queue.enqueue(echo.options(expires_s=60), 1), queue.enqueue(bad)]
    handles.append(queue.enqueue(echo.options(delay_s=3), 2))
    worker.start()
    while worker.run_once():
        pass
    worker.beat()
    for handle in handles:
        stored = queue.client.raw.hgetall(queue.protocol.keys.task(handle.id))
        times = {f: float(v) for f, v in stored.items() if f.endswith("_ms") and f != "run_ms"}
        near = pytest.approx(redis_ms(queue), abs=120_000)
        assert times == dict.fromkeys(times, near)
    assert [handle.state for handle in handles] == ["succeeded", "scheduled", "scheduled"]
    assert Inspector(queue).workers()[0].beat_age_s < 2


@pytest.mark.usefixtures("wrong_clock")
def test_r5_a_worker_tells_its_start_on_redis_clock(queue: Queue, registry: Registry) -> None:
    worker = Worker(queue, registry, name="w1")
    worker.start()
    told = float(queue.client.raw.hget("mq:worker:w1", "started_ms"))
    assert told == pytest.approx(redis_ms(queue), abs=60_000)


@pytest.mark.usefixtures("wrong_clock")
def test_r5_a_wrong_clock_takes_nobodys_lease(queue: Queue, registry: Registry, echo: Echo) -> None:
    handle = queue.enqueue(echo, 1)
    queue.client.run(queue.protocol.claim("other", 1))
    Worker(queue, registry).run_once()
    assert handle.state == "running"


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--queue", "a b"], "'a b'"),
        (["--concurrency", "0"], "MINIQUEUE_CONCURRENCY=0"),
        (["--import", "no_such_module"], "no_such_module"),
    ],
)
def test_a_usage_error_is_one_sentence_and_exit_code_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
