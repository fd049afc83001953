"""What becomes of a task, by what its function does. One turn of a worker at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from miniqueue.context import Context
from miniqueue.errors import Fail, Retry
from miniqueue.inspector import Inspector
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.task import Task
from miniqueue.worker import Worker
from tests.protocol.bench import about
from tests.worker.running import with_settings

Echo = TaskFunction[[object], object]


def make_due(queue: Queue, handle: TaskHandle) -> None:
    """Move a scheduled task's time into the past."""
    queue.client.raw.zadd(queue.protocol.keys.scheduled, {handle.id: 1}, xx=True)


def ran(worker: Worker, handle: TaskHandle) -> Task:
    """The task after one turn of the worker."""
    assert worker.run_once() == 1
    return handle.get()


def kept_error(task: Task) -> dict[str, Any]:
    assert task.error is not None
    return task.error


def test_a_result_is_kept_with_its_times(worker: Worker, queue: Queue, echo: Echo) -> None:
    handle = queue.enqueue(echo, {"a": [1, None, "ü"]})
    done = ran(worker, handle)
    assert (done.state, done.result, done.attempt, done.worker) == (
        "succeeded",
        {"a": [1, None, "ü"]},
        1,
        "w1",
    )
    assert done.started_ms == about(done.enqueued_ms)
    assert done.run_ms is not None
    assert 0 <= done.run_ms < 1000
    assert Inspector(queue).check() == []


def test_a_turn_without_work_runs_nothing(worker: Worker) -> None:
    assert worker.run_once() == 0


def test_keyword_arguments_arrive(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry)
    def join(a: str, *, b: str = "?") -> str:
        return a + b

    assert ran(worker, queue.enqueue(join, a="1", b="2")).result == "12"


def test_an_async_function_runs(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry)
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert ran(worker, queue.enqueue(later, 1)).result == 2


# -- failures --------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_after_the_backoff(
    worker: Worker, queue: Queue, registry: Registry
) -> None:
    outcomes = iter([ValueError("not yet"), None])

    @task(registry=registry, backoff_s=60, backoff_cap_s=60)
    def sometimes() -> str:
        if error := next(outcomes):
            raise error
        return "at last"

    handle = queue.enqueue(sometimes)
    failed = ran(worker, handle)
    error = kept_error(failed)
    assert (failed.state, error["type"], error["message"]) == ("scheduled", "ValueError", "not yet")
    assert "in sometimes" in error["traceback"]
    assert "lane.py" not in error["traceback"]
    assert failed.due_ms is not None
    assert 0 <= failed.due_ms - failed.enqueued_ms <= 61_500
    assert worker.run_once() == 0 or failed.due_ms - failed.enqueued_ms < 500
    make_due(queue, handle)
    done = ran(worker, handle)
    assert (done.state, done.result, done.attempt) == ("succeeded", "at last", 2)


def test_the_last_attempt_ends_in_failed(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry, max_attempts=2, backoff_s=0)
    def never() -> None:
        raise ValueError("no")

    handle = queue.enqueue(never)
    assert ran(worker, handle).state == "scheduled"
    make_due(queue, handle)
    assert ran(worker, handle).state == "failed"
    assert [e.verb for e in Inspector(queue).timeline(handle.id)] == [
        *("enqueue", "claim", "fail", "promote", "claim", "fail")
    ]


def test_retry_says_when(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry, backoff_s=0)
    def busy() -> None:
        raise Retry("the other side is busy", after_s=60)

    later = ran(worker, queue.enqueue(busy))
    assert later.state == "scheduled"
    assert later.due_ms == about(later.enqueued_ms + 60_000)
    assert kept_error(later)["message"] == "the other side is busy"


def test_retry_counts_as_an_attempt(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry, max_attempts=1)
    def busy() -> None:
        raise Retry(after_s=1)

    assert ran(worker, queue.enqueue(busy)).state == "failed"


def test_fail_ends_it_whatever_attempts_are_left(
    worker: Worker, queue: Queue, registry: Registry
) -> None:
    @task(registry=registry, max_attempts=10)
    def hopeless() -> None:
        raise Fail("no such user")

    failed = ran(worker, queue.enqueue(hopeless))
    assert (failed.state, failed.attempt) == ("failed", 1)
    assert kept_error(failed)["message"] == "no such user"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_no_exception_of_a_task_ends_the_worker(
    worker: Worker, queue: Queue, registry: Registry, kind: type[BaseException]
) -> None:
    @task(registry=registry, max_attempts=1)
    def leave() -> None:
        raise kind

    failed = ran(worker, queue.enqueue(leave))
    assert (failed.state, kept_error(failed)["type"]) == ("failed", kind.__name__)


class _Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("this exception has no words")


@pytest.mark.parametrize(
    "error",
    [_Wordless(), Retry(after_s=float("inf")), Retry(after_s=float("nan")), ValueError("\ud800")],
    ids=["wordless", "inf", "nan", "surrogate"],
)
def test_no_strange_exception_ends_the_worker(
    worker: Worker, queue: Queue, registry: Registry, error: Exception
) -> None:
    """Else one task would kill every worker that claims it."""

    @task(registry=registry, max_attempts=2)
    def strange() -> None:
        raise error

    assert ran(worker, queue.enqueue(strange)).state in ("failed", "scheduled")


# -- results that cannot travel --------------------------------------------------------------------


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"bytes", "\ud800"])
def test_r8_a_result_that_is_not_json_is_a_failure(
    worker: Worker, queue: Queue, registry: Registry, value: object
) -> None:
    @task(registry=registry, max_attempts=1)
    def produce() -> object:
        return value

    failed = ran(worker, queue.enqueue(produce))
    assert (failed.state, kept_error(failed)["type"]) == ("failed", "PayloadError")
    assert "the result of 'produce' is not JSON" in kept_error(failed)["message"]


@pytest.mark.parametrize(
    ("text", "fits"),
    [("x" * 98, True), ("x" * 99, False), ("€" * 40, False)],
    ids=["just fits", "a byte too long", "40 characters of 3 bytes"],
)
def test_r7_a_result_is_limited_in_bytes(
    queue: Queue, registry: Registry, echo: Echo, text: str, fits: bool
) -> None:
    small = with_settings(queue, max_result_bytes=100, max_attempts=1)
    done = ran(Worker(small, registry), small.enqueue(echo, text))
    assert done.state == ("succeeded" if fits else "failed")
    if not fits:
        assert kept_error(done)["type"] == "PayloadTooLarge"
        assert "MINIQUEUE_MAX_RESULT_BYTES" in kept_error(done)["message"]


# -- what a worker runs ----------------------------------------------------------------------------


def submit(queue: Queue, name: str, args: str = "[]", kwargs: str = "{}") -> TaskHandle:
    """Send a task past every check of the client."""
    queue.submit([Submission("foreign", name, args, kwargs, "normal", 1)])
    return TaskHandle("foreign", queue)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "__import__", "echoo"])
def test_r8_only_registered_names_run(worker: Worker, queue: Queue, echo: Echo, name: str) -> None:
    failed = ran(worker, submit(queue, name, '["echo 1"]'))
    assert (failed.state, kept_error(failed)["type"]) == ("failed", "UnknownFunction")
    assert name in kept_error(failed)["message"]


def test_r8_what_travels_is_json_that_anybody_can_read(
    worker: Worker, queue: Queue, echo: Echo
) -> None:
    handle = queue.enqueue(echo, {"a": [1, "ü"]})
    ran(worker, handle)
    stored = queue.client.raw.hgetall(queue.protocol.keys.task(handle.id))
    assert stored["args"] == '[{"a":[1,"ü"]}]'
    assert stored["result"] == '{"a":[1,"ü"]}'


@pytest.mark.parametrize("args", ["[]", "[1,2]", "5", "null", "[broken", '{"value":1}'])
def test_r8_a_worker_checks_the_arguments_too(
    worker: Worker, queue: Queue, echo: Echo, args: str
) -> None:
    failed = ran(worker, submit(queue, "echo", args))
    assert (failed.state, kept_error(failed)["type"]) == ("failed", "PayloadError")


# -- Context ---------------------------------------------------------------------------------------


def test_a_context_tells_of_the_attempt(worker: Worker, queue: Queue, registry: Registry) -> None:
    @task(registry=registry, max_attempts=5)
    def about_me(ctx: Context) -> list[object]:
        return [ctx.task_id, ctx.name, ctx.queue, ctx.worker, ctx.attempt, ctx.max_attempts]

    handle = queue.enqueue(about_me)
    assert ran(worker, handle).result == [handle.id, "about_me", "default", "w1", 1, 5]


@pytest.mark.parametrize("place", ["first", "last", "keyword"])
def test_a_context_and_positional_arguments_go_together(
    worker: Worker, queue: Queue, registry: Registry, place: str
) -> None:
    def first(ctx: Context, x: int, y: int = 0) -> list[int]:
        return [ctx.attempt, x, y]

    def last(x: int, y: int, ctx: Context) -> list[int]:
        return [ctx.attempt, x, y]

    def keyword(x: int, y: int, *, ctx: Context) -> list[int]:
        return [ctx.attempt, x, y]

    shapes: dict[str, Any] = {"first": first, "last": last, "keyword": keyword}
    handle = queue.enqueue(task(registry=registry, name=place)(shapes[place]), 7, 8)
    assert ran(worker, handle).result == [1, 7, 8]


def test_a_context_keeps_progress_and_log_lines(
    worker: Worker, queue: Queue, registry: Registry
) -> None:
    @task(registry=registry)
    def steps(ctx: Context) -> None:
        ctx.progress(0.5, "half")
        ctx.log("one")
        ctx.log("x" * 2000)
        ctx.progress(7, "over")

    handle = queue.enqueue(steps)
    assert ran(worker, handle).progress == {"fraction": 1.0, "text": "over"}
    assert Inspector(queue).logs(handle.id) == ["one", "x" * 1000]


# -- order -----------------------------------------------------------------------------------------


def test_low_priority_does_not_starve(queue: Queue, registry: Registry, echo: Echo) -> None:
    one_at_a_time = with_settings(queue, batch=1)
    worker = Worker(one_at_a_time, registry)
    queue.enqueue_many(echo.options(priority="high"), [(i,) for i in range(30)])
    low = queue.enqueue(echo.options(priority="low"), "low")
    for _ in range(10):
        worker.run_once()
    assert low.state == "succeeded"


def test_dead_tasks_at_the_front_cost_no_waiting(worker: Worker, queue: Queue, echo: Echo) -> None:
    """Each of them once cost an idle worker a second of sleep."""
    dead = queue.enqueue_many(echo.options(expires_s=60), [(i,) for i in range(5)])
    for handle in dead:
        queue.client.raw.hset(queue.protocol.keys.task(handle.id), "expires_ms", 1)
    alive = queue.enqueue(echo, "alive")
    for _ in range(6):
        claims = queue.client.run(queue.protocol.claim("other", 1))
        if claims.tasks:
            break
        assert claims.wait_ms <= 1
    assert alive.state == "running"
