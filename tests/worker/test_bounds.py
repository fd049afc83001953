"""R7: nothing that Redis keeps is unbounded. After the work and its TTLs only counters are left."""

from __future__ import annotations

import pytest

from miniqueue.context import Context
from miniqueue.errors import Fail
from miniqueue.flow import chord, step
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import Registry, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.processes import wait_for

TASKS = 20_000
STAY = {"stats", "counts", "events"}


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_r7_after_twenty_thousand_mixed_tasks_the_keys_are_back_to_baseline(
    settings: Settings, queue: Queue, registry: Registry
) -> None:
    """Short TTLs stand for hours; every feature that keeps something takes part."""

    @task(registry=registry)
    def plain(n: int) -> int:
        return n

    @task(registry=registry)
    def talking(ctx: Context, n: int) -> None:
        ctx.log(f"line {n}")
        ctx.emit(f"piece {n}")
        ctx.checkpoint(n)
        ctx.once("effect")

    @task(registry=registry, backoff_s=0)
    def failing(n: int) -> None:
        raise Fail("for good") if n % 2 else ValueError("for now")

    @task(registry=registry)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    short = Queue(
        settings=settings.but(keep_s=1.0, keep_failed_s=1.0, max_attempts=2, events_kept=1000),
        client=queue.client,
        registry=registry,
    )
    sent = 0
    while sent < TASKS:
        short.enqueue_many(plain, [(n,) for n in range(1000)])
        short.enqueue_many(talking.options(delay_s=0.01), [(n,) for n in range(100)])
        short.enqueue_many(failing, [(n,) for n in range(100)])
        chord(short, [step(plain, n) for n in range(50)], step(total))
        short.enqueue(plain.options(idempotency_key=f"key {sent}"), 1)
        short.enqueue(plain.options(expires_s=0.001), 1)
        sent += 1253
    worker = Worker(short, registry, name="w")
    inspector = Inspector(short)
    while not still(inspector):
        worker.run_once()
    worker.beat()  # tells what it has counted
    prefix = short.protocol.keys.prefix

    def left() -> set[str]:
        worker.run_once()
        return {key.removeprefix(prefix) for key in queue.client.raw.scan_iter(f"{prefix}*", 1000)}

    wait_for(lambda: left() == STAY, 30)
    assert inspector.check() == []
    assert queue.client.raw.xlen(f"{prefix}events") < 1200  # MAXLEN ~ cuts whole nodes


def still(inspector: Inspector) -> bool:
    info = inspector.queue_info(inspector.queue.name)
    return not (info.waiting or info.scheduled or info.deferred or info.running)
