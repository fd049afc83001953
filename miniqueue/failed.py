"""The failed set (dead letters): retry all that match, or forget them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miniqueue.errors import InvalidTransition, TaskNotFound
from miniqueue.protocol.calls import Call
from miniqueue.queue import Queue

__all__ = ["purge_failed", "retry_failed"]

PAGE = 100
AT_MOST = 10_000  # failed tasks that one call looks at


def retry_failed(queue: Queue, name: str | None = None) -> int:
    """Queue all failed tasks again, or those of one function; gives how many, up to 10,000."""
    return _each(queue, name, queue.protocol.retry)


def purge_failed(queue: Queue, name: str | None = None) -> int:
    """Forget all failed tasks, or those of one function; gives how many, up to 10,000."""
    return _each(queue, name, queue.protocol.purge)


def _each(queue: Queue, name: str | None, operation: Callable[[str], Call[Any]]) -> int:
    """Carry out an operation that takes a task out of the set on each that matches."""
    keys, client = queue.protocol.keys, queue.client
    done = kept = looked = 0
    while looked < AT_MOST:
        page: Call[list[str]] = Call("ZRANGE", (keys.failed,), (kept, kept + PAGE - 1), list)
        ids = client.run(page)
        if not ids:
            break
        names = client.run_many([Call("HGET", (keys.task(i),), ("name",), str) for i in ids])
        chosen = [i for i, its in zip(ids, names, strict=True) if name in (None, its)]
        taken = sum(_taken(queue, operation(task_id)) for task_id in chosen)
        done, looked, kept = done + taken, looked + len(ids), kept + len(ids) - taken
    return done


def _taken(queue: Queue, call: Call[Any]) -> bool:
    try:
        return bool(queue.client.run(call))
    except (TaskNotFound, InvalidTransition):  # somebody was faster, or its hash has expired
        return False
