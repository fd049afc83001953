"""What travels through the operations: tasks on their way in, in a worker's hands, and back.

Named tuples, since one is made for every task: a frozen dataclass takes five times as long.
"""

from __future__ import annotations

from typing import NamedTuple

from miniqueue.task import encode_json

__all__ = ["Claimed", "Claims", "Completion", "Failure", "Note", "Postponement", "Submission"]


class Submission(NamedTuple):
    """A task on its way in: checked and encoded."""

    id: str
    name: str
    args: str
    kwargs: str
    priority: str
    max_attempts: int
    delay_ms: int = 0
    expiry_ms: int = 0
    timeout_s: float | None = None
    unique: str = ""
    digest: str = ""
    after: tuple[str, ...] = ()
    takes: str = "nothing"
    trace: str = ""

    def words(self) -> list[str | int | float]:
        """Its arguments for enqueue.lua."""
        stored = self.stored()
        return [self.id, self.priority, self.more(), len(stored), *stored]

    def more(self) -> str:
        """What few tasks have, as JSON; '' for a task that has nothing of it.

        Each word of a call costs Redis: sent as words, these took 7k of the 66k instructions of a
        task in bulk (callgrind, Valkey 9.1.2).
        """
        if not (self.delay_ms or self.expiry_ms or self.unique or self.after):
            return ""
        fields = ("delay_ms", "expiry_ms", "unique", "digest", "after")
        return encode_json({field: getattr(self, field) for field in fields})

    def stored(self) -> list[str | int | float]:
        """Fields and values of its hash; what has its default is not stored."""
        words: list[str | int | float] = ["name", self.name, "args", self.args]
        words += ["max_attempts", self.max_attempts]
        if self.kwargs != "{}":
            words += ["kwargs", self.kwargs]
        if self.priority != "normal":
            words += ["priority", self.priority]
        if self.timeout_s is not None:
            words += ["timeout_s", self.timeout_s]
        if self.after:
            words += ["after", encode_json(list(self.after)), "pending", len(self.after)]
        if self.unique:
            words += ["unique", self.unique]
        if self.takes != "nothing":
            words += ["takes", self.takes]
        if self.delay_ms or self.expiry_ms or self.after or self.takes != "nothing":
            words += ["more", 1]  # claim.lua reads what few tasks have where this says so
        if self.trace:
            words += ["traceparent", self.trace]
        return words


class Claimed(NamedTuple):
    """A task in a worker's hands: what to run, and the attempt number that fences it.

    `since_ms`: since when it might have been started.
    """

    id: str
    attempt: int
    name: str
    args: str
    kwargs: str | None
    max_attempts: int
    released: int
    timeout_s: float | None
    takes: str = ""
    slot: int = 0
    since_ms: int = 0


class Claims(NamedTuple):
    """A reply of claim: Redis' time in ms, the ms to wait if there is nothing, the tasks."""

    now_ms: int
    wait_ms: int
    tasks: list[Claimed]


class Completion(NamedTuple):
    """A result (JSON text) on its way in."""

    id: str
    attempt: int
    result: str
    started_ms: int
    run_ms: float


class Failure(NamedTuple):
    """The end of an attempt without a result; `state` is scheduled, failed or cancelled."""

    id: str
    attempt: int
    state: str
    error: str
    reason: str
    delay_ms: int
    started_ms: int
    run_ms: float


class Note(NamedTuple):
    """Log lines of an attempt on their way in; they go before its end."""

    id: str
    attempt: int
    lines: list[str]


class Postponement(NamedTuple):
    """A task that is put off unstarted, by `delay_ms`."""

    id: str
    attempt: int
    delay_ms: int
    reason: str
