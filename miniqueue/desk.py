"""Desk: carries what a task function hands to its Context to Redis, fenced by the attempt."""

from __future__ import annotations

from typing import Any

from miniqueue.context import Context
from miniqueue.errors import BackendUnavailable, LeaseLost, PayloadError, PayloadTooLarge
from miniqueue.outcome import Run
from miniqueue.protocol.records import Claimed
from miniqueue.queue import Queue
from miniqueue.task import decode, encode, encode_json, size_of

__all__ = ["TaskDesk", "context_of"]


class TaskDesk:
    """The desk of one run. Log lines wait in the run, and travel with the next beat or result."""

    def __init__(self, queue: Queue, run: Run) -> None:
        self._client = queue.client
        self._protocol = queue.protocol
        self._limit = queue.settings.max_result_bytes
        self._run = run

    def progress(self, fraction: float, text: str) -> None:
        value = encode_json({"fraction": fraction, "text": text})
        try:
            kept = self._client.run(self._protocol.progress(*self._whose, value))
        except BackendUnavailable:  # not worth an attempt
            return
        self._kept(kept)

    def log(self, line: str) -> None:
        self._run.log(line)

    def emit(self, piece: str) -> None:
        if not isinstance(piece, str):
            raise PayloadError(f"emit() takes text, not {type(piece).__name__}")
        self._small("a piece of output", piece)
        self._kept(self._client.run(self._protocol.emit(*self._whose, piece)))

    def save(self, checkpoint: Any) -> None:
        text = encode(checkpoint, "the checkpoint")
        self._small("the checkpoint", text)
        self._kept(self._client.run(self._protocol.save(*self._whose, text)))

    def saved(self) -> Any:
        return decode(self._client.run(self._protocol.saved(self._run.task.id)))

    def once(self, key: str) -> bool:
        fate = self._client.run(self._protocol.once(*self._whose, key[:200]))
        if fate == -2:
            raise PayloadError("once(): a task may ask for 100 keys and not more")
        self._kept(fate >= 0)
        return fate == 1

    @property
    def _whose(self) -> tuple[str, int]:
        task: Claimed = self._run.task
        return task.id, task.attempt

    def _small(self, what: str, text: str) -> None:
        if size_of(text) > self._limit:
            raise PayloadTooLarge(what, size_of(text), self._limit, "MINIQUEUE_MAX_RESULT_BYTES")

    def _kept(self, ours: bool) -> None:
        if not ours:
            raise LeaseLost(*self._whose)


def context_of(queue: Queue, worker: str, run: Run) -> Context:
    """The context of a run."""
    task = run.task
    desk = TaskDesk(queue, run)
    return Context(task.id, task.name, queue.name, worker, task.attempt, task.max_attempts, desk)
