"""What task functions can ask for: logs, prints, output, checkpoints, once, rates, retry rules."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from miniqueue.context import Context
from miniqueue.errors import ConfigError
from miniqueue.inspector import Inspector
from miniqueue.middleware import Middleware
from miniqueue.options import Handling
from miniqueue.outcome import Run
from miniqueue.protocol.records import Completion, Failure
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import Registry, task
from miniqueue.worker import Worker
from tests.capture import captured


@pytest.fixture
def worker(queue: Queue, registry: Registry) -> Worker:
    return Worker(queue, registry, name="w")


def due_now(queue: Queue, handle: TaskHandle) -> None:
    """Move the data, not the clock."""
    queue.client.raw.zadd(queue.protocol.keys.scheduled, {handle.id: 1})


def test_prints_and_log_records_are_kept_with_their_task(
    queue: Queue, worker: Worker, registry: Registry
) -> None:
    @task(registry=registry)
    def talk(ctx: Context, name: str) -> None:
        print("hello", name)
        logging.getLogger("mine").warning("careful, %s", name)
        ctx.log("by hand")
        print("no end of line", end="")

    @task(registry=registry)
    async def whisper(name: str) -> None:
        await asyncio.sleep(0)
        print("psst", name)

    loud, quiet = queue.enqueue(talk, "you"), queue.enqueue(whisper, "me")
    with captured():
        print("not in a task")
        worker.run_once()
        worker.run_once()
    inspector = Inspector(queue)
    lines = ["hello you", "WARNING mine: careful, you", "by hand", "no end of line"]
    assert inspector.logs(loud.id) == lines
    assert inspector.logs(quiet.id) == ["psst me"]


def test_a_failed_task_keeps_its_lines(queue: Queue, worker: Worker, registry: Registry) -> None:
    @task(registry=registry, max_attempts=1)
    def bad(ctx: Context) -> None:
        ctx.log("just before")
        raise ValueError("and gone")

    handle = queue.enqueue(bad)
    worker.run_once()
    assert handle.state == "failed"
    assert Inspector(queue).logs(handle.id) == ["just before"]


def test_lines_can_be_read_while_the_task_runs(
    queue: Queue, worker: Worker, registry: Registry
) -> None:
    seen: list[list[str]] = []

    @task(registry=registry)
    def long(ctx: Context) -> None:
        ctx.log("half way")
        worker.beat()
        seen.append(Inspector(queue).logs(ctx.task_id))

    queue.enqueue(long)
    worker.run_once()
    assert seen == [["half way"]]


def test_output_is_read_piece_by_piece(queue: Queue, worker: Worker, registry: Registry) -> None:
    @task(registry=registry)
    def count(ctx: Context, most: int) -> str:
        for number in range(most):
            ctx.emit(f"{number} ")
        return "done"

    handle = queue.enqueue(count, 3)
    worker.run_once()
    assert list(handle.stream(timeout_s=5)) == ["0 ", "1 ", "2 "]
    assert [piece.text for piece in Inspector(queue).output(handle.id, limit=2)] == ["0 ", "1 "]


def test_a_later_attempt_goes_on_from_the_checkpoint(
    queue: Queue, worker: Worker, registry: Registry
) -> None:
    @task(registry=registry, backoff_s=0)
    def climb(ctx: Context) -> list[int]:
        done = ctx.resumed or []
        for step in range(len(done), 4):
            if step == 2 and ctx.attempt == 1:
                raise RuntimeError("slipped")
            done.append(step * 10 + ctx.attempt)
            ctx.checkpoint(done)
        return list(done)

    handle = queue.enqueue(climb)
    worker.run_once()
    due_now(queue, handle)
    worker.run_once()
    assert handle.wait(1) == [1, 11, 22, 32]


def test_once_is_true_for_one_attempt(queue: Queue, worker: Worker, registry: Registry) -> None:
    sent: list[str] = []

    @task(registry=registry, backoff_s=0)
    def mail(ctx: Context) -> None:
        if ctx.once("mail"):
            sent.append(f"attempt {ctx.fence}")
        if ctx.attempt == 1:
            raise RuntimeError("after the effect")

    handle = queue.enqueue(mail)
    worker.run_once()
    due_now(queue, handle)
    worker.run_once()
    assert handle.state == "succeeded"
    assert sent == ["attempt 1"]


def test_r3_a_run_that_came_back_from_the_dead_is_stopped_by_its_context(
    queue: Queue, worker: Worker, registry: Registry
) -> None:
    went_on: list[str] = []

    @task(registry=registry)
    def late(ctx: Context) -> None:
        queue.client.raw.hincrby(queue.protocol.keys.task(ctx.task_id), "attempt", 1)
        ctx.emit("x")
        went_on.append("too far")

    queue.enqueue(late)
    worker.run_once()
    assert went_on == []


def test_only_some_errors_are_tried_again(queue: Queue, worker: Worker, registry: Registry) -> None:
    @task(registry=registry, retry_on=(ConnectionError,))
    def fetch(kind: str) -> None:
        raise ConnectionResetError if kind == "net" else ValueError

    @task(registry=registry, give_up_on=(KeyError,))
    def look(kind: str) -> None:
        raise KeyError if kind == "key" else ValueError

    handles = [queue.enqueue(fetch, "net"), queue.enqueue(fetch, "value")]
    handles += [queue.enqueue(look, "key"), queue.enqueue(look, "value")]
    for _ in handles:
        worker.run_once()
    assert [str(h.state) for h in handles] == ["scheduled", "failed", "failed", "scheduled"]


def test_a_rate_spaces_starts_over_all_workers(queue: Queue, registry: Registry) -> None:
    @task(registry=registry, rate="2/m")
    def call() -> int:
        return 1

    workers = [Worker(queue, registry, name=f"w{i}") for i in range(2)]
    handles = [queue.enqueue(call) for _ in range(4)]
    for _ in range(4):
        for worker in workers:
            worker.run_once()
    assert [str(h.state) for h in handles] == ["succeeded", *["scheduled"] * 3]
    dues = [h.get().due_ms or 0 for h in handles[1:]]
    gaps = [b - a for a, b in itertools.pairwise(dues)]
    assert all(abs(gap - 30_000) < 50 for gap in gaps)
    assert [h.get().tries for h in handles] == [1, 0, 0, 0]


def test_a_task_keeps_the_start_that_it_was_dealt(queue: Queue, registry: Registry) -> None:
    @task(registry=registry, rate="1/h")
    def call() -> int:
        return 1

    worker = Worker(queue, registry, name="w")
    first, second = queue.enqueue(call), queue.enqueue(call)
    worker.run_once()
    worker.run_once()
    due_now(queue, second)
    worker.run_once()
    assert [str(first.state), str(second.state)] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("rate", ["10", "0/s", "-1/s", "x/s", "10/y", "", "1..2/s"])
def test_a_rate_that_cannot_be_is_refused(rate: str) -> None:
    with pytest.raises(ConfigError, match="10/s"):
        Handling(rate=rate)


def test_middleware_sees_each_run(queue: Queue, registry: Registry) -> None:
    seen: list[str] = []

    class Watch(Middleware):
        def before(self, run: Run) -> int:
            seen.append(f"before {run.task.name}")
            return 0

        def after(self, run: Run, ended: Completion | Failure | None) -> None:
            seen.append(f"after {type(ended).__name__}")
            raise RuntimeError("changes nothing")

    @task(registry=registry)
    def work() -> int:
        return 1

    handle = queue.enqueue(work)
    Worker(queue, registry, name="w", middlewares=[Watch()]).run_once()
    assert seen == ["before work", "after Completion"]
    assert handle.wait(1) == 1


def test_a_middleware_can_refuse_a_task(queue: Queue, registry: Registry) -> None:
    class Refuse(Middleware):
        def before(self, run: Run) -> int:
            raise PermissionError("not you")

    @task(registry=registry, max_attempts=1)
    def work() -> int:
        return 1

    handle = queue.enqueue(work)
    Worker(queue, registry, name="w", middlewares=[Refuse()]).run_once()
    assert (handle.get().error or {})["type"] == "PermissionError"


def test_starts_that_passed_while_nothing_ran_are_dealt_anew(
    queue: Queue, registry: Registry
) -> None:
    """Else all that were put off would start at once after a pause."""

    @task(registry=registry, rate="1/h")
    def call() -> int:
        return 1

    worker = Worker(queue, registry, name="w")
    handles = [queue.enqueue(call) for _ in range(3)]
    for _ in handles:
        worker.run_once()
    keys = queue.protocol.keys
    queue.client.raw.delete(keys.rate("call"))
    for handle in handles[1:]:
        due_now(queue, handle)
        queue.client.raw.hset(keys.task(handle.id), "slot", 1)
    for _ in range(3):
        worker.run_once()
    assert sorted(str(h.state) for h in handles[1:]) == ["scheduled", "succeeded"]
