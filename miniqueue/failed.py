"""The failed set (dead letters): retry all that match, or forget them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from miniqueue.errors import InvalidTransition, TaskNotFound
from miniqueue.protocol.calls import Call
from miniqueue.queue import Queue
from miniqueue.views import scores

__all__ = ["purge_failed", "retry_failed"]

PAGE = 100
AT_MOST = 10_000  # tasks that one call retries or forgets
LOOKED = 1_000_000  # tasks of other functions that it passes over


def retry_failed(queue: Queue, name: str | None = None) -> int:
    """Queue all failed tasks again, or those of one function; gives how many, up to 10,000."""
    return _each(queue, name, queue.protocol.retry)


def purge_failed(queue: Queue, name: str | None = None) -> int:
    """Forget all failed tasks, or those of one function; gives how many, up to 10,000."""
    return _each(queue, name, queue.protocol.purge)


def _each(queue: Queue, name: str | None, operation: Callable[[str], Call[Any]]) -> int:
    """Carry out an operation that takes a task out of the set on each that matches.

    Only on those that had failed when it began: workers may fail the same tasks again meanwhile.
    """
    keys, client = queue.protocol.keys, queue.client
    newest: Call[list[Any]] = Call("ZREVRANGE", (keys.failed,), (0, 0, "WITHSCORES"), scores)
    last = max((score for _, score in client.run(newest)), default=0)
    done = kept = 0
    while done < AT_MOST and kept < LOOKED:
        words = ("-inf", last, "LIMIT", kept, PAGE)
        page: Call[list[str]] = Call("ZRANGEBYSCORE", (keys.failed,), words, list)
        ids = client.run(page)
        if not ids:
            break
        names = client.run_many([Call("HGET", (keys.task(i),), ("name",), str) for i in ids])
        chosen = [i for i, its in zip(ids, names, strict=True) if name in (None, its)]
        taken = sum(_taken(queue, operation(task_id)) for task_id in chosen)
        done, kept = done + taken, kept + len(ids) - taken
    return done


def _taken(queue: Queue, call: Call[Any]) -> bool:
    try:
        return bool(queue.client.run(call))
    except (TaskNotFound, InvalidTransition):  # somebody was faster, or its hash has expired
        return False
