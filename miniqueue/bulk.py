"""Bulk: tasks from lines of JSON, each like the body of POST /task; a round trip a thousand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import miniqueue.functions  # noqa: F401  (registers the built-in task functions)
from miniqueue.errors import MiniQueueError, PayloadError
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue

__all__ = ["send_lines"]

CALL = {"name", "args", "kwargs"}


def send_lines(queue: Queue, lines: Iterable[str]) -> list[str]:
    """Send a task for each line that is not blank; gives the ids.

    All lines are checked before the first is sent; each round trip of up to max_bulk tasks is then
    all or nothing. Raises PayloadError, UnknownFunction or ConfigError that names the line.
    """
    made = [_made(queue, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    step = queue.settings.max_bulk
    parts = [made[at : at + step] for at in range(0, len(made), step)]
    return [task_id for part in parts for task_id in queue.submit(part)]


def _made(queue: Queue, number: int, line: str) -> Submission:
    try:
        told = _read(line)
        words = {k: tuple(v) if k == "after" else v for k, v in told.items() if k not in CALL}
        spec = queue.spec(told.get("name", "sample")).but(words)
        return queue.prepare(spec, told.get("args", []), told.get("kwargs", {}))
    except MiniQueueError as error:
        raise PayloadError(f"line {number}: {error}") from None


def _read(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise PayloadError(f"not JSON: {error}") from None
    if not isinstance(told, dict):
        raise PayloadError('not a JSON object like {"name": "add", "args": [2, 3]}')
    if not isinstance(told.get("args", []), list) or not isinstance(told.get("kwargs", {}), dict):
        raise PayloadError("args is a list and kwargs an object")
    return told
