"""Foreign hands in Redis: what they broke ends with a reason or is counted; the worker lives on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from miniqueue.errors import BackendUnavailable, MiniQueueError, TaskFailed
from miniqueue.inspector import Inspector, overview
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction
from miniqueue.settings import Settings
from miniqueue.task import TaskState
from miniqueue.worker import Worker

Echo = TaskFunction[[object], object]

# What the worker reads of a task, and some that it writes.
FIELDS = [
    *("name", "args", "kwargs", "state", "attempt", "max_attempts", "released", "timeout_s"),
    *("expires_ms", "takes", "slot", "priority", "waiting", "children", "enqueued_ms", "unique"),
    *("due_ms", "more"),
    *("cancel", "acked", "pending", "after", "progress", "error", "checkpoint", "worker"),
]
TEXTS = [
    *(
        "",
        " ",
        "0",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "inf",
        "null",
        "true",
        "[]",
        "{}",
        '"',
        "[1",
        "[1]",
    ),
    *(
        '{"a":1}',
        "[[]]",
        "9" * 400,
        "[" * 5000,
        "\x00",
        "\r\n",
        "queued",
        "failed",
        "no such state",
    ),
    *("\ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16"), "<script>", "../../etc"),
]
RAW = [*(text.encode() for text in TEXTS), b"\xff\xfe\x80", b"[" + b"\xff" + b"]"]
TOLD = [  # names in the JSON of a function, a schedule and a worker's runs
    *("parameters", "usage", "options", "doc", "queue", "priority", "expression", "timezone"),
    *("missed", "next_ms", "task", "name", "args", "kwargs", "max_attempts", "count", "echo"),
]
ABOUT = ["queue", "host", "pid", "concurrency", "doing", "done", "runs", "beat_ms", "lease_s"]
values = st.sampled_from(RAW) | st.binary(max_size=20) | st.text(max_size=20).map(str.encode)


@pytest.fixture
def hurt(
    queue: Queue, registry: Registry, echo: Echo, settings: Settings
) -> Callable[[Callable[[Any, str], object]], TaskState | None]:
    """Send a task, let foreign hands at it, work; gives its end, None where it is no task now."""

    def hurt(hands: Callable[[Any, str], object]) -> TaskState | None:
        raw = queue.client.raw
        raw.flushdb()
        worker = Worker(queue, registry, name="w1")
        worker.start()
        victim = queue.enqueue(echo.options(expires_s=60), "victim")  # claim reads all its fields
        hands(raw, queue.protocol.keys.task(victim.id))
        good = queue.enqueue(echo, "good")
        for _ in range(3):
            worker.run_once()
            worker.beat()
        assert good.wait(0.01) == "good"
        assert queue.client.run(queue.protocol.claim("w2", 9)).tasks == []
        inspector = Inspector(queue)  # whoever looks is not hurt, either
        inspector.tasks(), inspector.queues(), inspector.workers(), inspector.check()
        try:
            task = victim.get()
        except MiniQueueError:
            return None
        assert task.state is not TaskState.FAILED or task.error
        return task.state

    return hurt


@pytest.mark.timeout(60)
@profile(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(FIELDS), values | st.none(), min_size=1, max_size=3))
@example({"name": None})
@example({"args": b"\xff"})
@example({"attempt": b"9" * 400})
@example({"max_attempts": b"nan", "args": b"{"})
def test_whatever_stands_in_a_tasks_hash(
    hurt: Callable[[Callable[[Any, str], object]], TaskState | None],
    fields: dict[str, bytes | None],
) -> None:
    def hands(raw: Any, key: str) -> None:
        for name, value in fields.items():
            raw.hdel(key, name) if value is None else raw.hset(key, name, value)

    hurt(hands)


def test_a_task_that_has_lost_its_name_fails_with_a_reason(
    queue: Queue, worker: Worker, echo: Echo
) -> None:
    victim = queue.enqueue(echo, 1)
    key = queue.protocol.keys.task(victim.id)
    queue.client.raw.hset(key, "max_attempts", 1)
    queue.client.raw.hdel(key, "name")
    worker.run_once()
    worker.run_once()
    with pytest.raises(TaskFailed, match="no task function"):
        victim.wait(0.01)


def test_a_task_whose_attempts_cannot_be_counted_ends_with_its_lease(
    queue: Queue, worker: Worker, echo: Echo
) -> None:
    victim, keys = queue.enqueue(echo, 1), queue.protocol.keys
    queue.client.raw.hset(keys.task(victim.id), "attempt", "9" * 400)
    worker.run_once()
    worker.run_once()
    assert victim.state is TaskState.RUNNING
    queue.client.raw.zadd(keys.running, {victim.id: 0})
    worker.run_once()
    with pytest.raises(TaskFailed):
        victim.wait(0.01)


def test_what_nobody_foresaw_ends_no_keeper(
    queue: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    twice = threading.Event()

    class Startled(Worker):
        beats = 0

        def beat(self) -> None:
            self.beats += 1
            if self.beats == 2:  # the first one is that of start()
                raise ValueError("a foreign hand")
            super().beat()
            if self.beats == 3:
                twice.set()

    worker = Startled(queue, registry, Settings(redis_url=queue.settings.redis_url, lease_s=0.3))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert twice.wait(5)
    finally:
        worker.stop()
        thread.join()
    assert "a foreign hand" in caplog.text


KINDS: dict[str, Callable[[Any, str], object]] = {
    "string": lambda raw, key: raw.set(key, "x"),
    "list": lambda raw, key: raw.rpush(key, "", "x", "00ff", b"\xff", "a,b c", "x.y.z", "9" * 999),
    "set": lambda raw, key: raw.sadd(key, "x"),
    "sorted set": lambda raw, key: raw.zadd(key, {"": 0, "x": 1, "a,b c": float("-inf"), "y.z": 2}),
    "hash": lambda raw, key: raw.hset(
        key, mapping={"": "", "x": "{", "y": "[]", "enqueue": "many", "echo": "null", "w9": "1"}
    ),
    "stream": lambda raw, key: raw.xadd(key, {"verb": "", "tasks": "a/b/c /// x", "x": b"\xff"}),
}
KEYS = [
    *("ready:high", "ready:normal", "ready:low", "scheduled", "deferred", "running", "failed"),
    *(
        "finished",
        "ended",
        "stats",
        "counts",
        "events",
        "wake",
        "cron",
        "task:00ff",
        "unique:x",
        "paused",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", KEYS)
def test_whatever_stands_in_a_queues_keys(
    queue: Queue, worker: Worker, echo: Echo, name: str, kind: str
) -> None:
    """A key of a wrong type is refused by Redis: told as any of its errors, until it is mended."""
    worker.start()
    key = queue.protocol.keys.prefix + name
    KINDS[kind](queue.client.raw, key)
    told: list[str] = []
    for act in [lambda: queue.enqueue(echo, 1), worker.run_once, worker.beat, *looks(queue)]:
        try:
            act()
        except BackendUnavailable as refused:
            told.append(str(refused))
    assert all("WRONGTYPE" in text or "not an integer" in text for text in told)
    queue.client.raw.delete(key)
    good = queue.enqueue(echo, "good")
    for _ in range(3):
        worker.run_once()
    assert good.wait(0.01) == "good"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["queues", "workers", "worker:w1", "worker:x", "functions"])
def test_whatever_stands_in_the_shared_keys(
    queue: Queue, worker: Worker, echo: Echo, name: str, kind: str
) -> None:
    key = "mq:" + name
    KINDS[kind](queue.client.raw, key)
    told: list[str] = []
    for act in [worker.beat, lambda: queue.enqueue(echo, 1), *looks(queue)]:
        try:
            act()
        except BackendUnavailable as refused:
            told.append(str(refused))
    assert all("WRONGTYPE" in text for text in told)
    queue.client.raw.delete(key)
    worker.start()
    good = queue.enqueue(echo, "good")
    for _ in range(3):
        worker.run_once()
    assert good.wait(0.01) == "good"


def looks(queue: Queue) -> list[Callable[[], object]]:
    """What people and the dashboard ask."""
    inspector = Inspector(queue)
    return [
        *(inspector.tasks, inspector.queues, inspector.workers, inspector.functions),
        *(inspector.check, inspector.events, lambda: overview(inspector)),
    ]


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(TOLD) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
).map(json.dumps)


@pytest.mark.timeout(60)
@profile(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(foreign=json_texts | st.sampled_from(TEXTS))
def test_whatever_stands_where_json_is_read(
    queue: Queue, worker: Worker, echo: Echo, foreign: str
) -> None:
    raw, prefix = queue.client.raw, queue.protocol.keys.prefix
    raw.flushdb()
    raw.hset("mq:functions", "foreign", foreign)
    raw.hset(prefix + "cron", "foreign", foreign)
    raw.hset("mq:worker:w9", mapping=dict.fromkeys(ABOUT, foreign))
    raw.zadd("mq:workers", {"w9": 1e13})
    worker.start()
    for look in looks(queue):
        look()
    good = queue.enqueue(echo, "good")
    for _ in range(2):
        worker.run_once()
        worker.beat()
    assert good.wait(0.01) == "good"
