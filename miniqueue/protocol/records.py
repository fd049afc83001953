"""What travels through the operations: tasks on their way in, in a worker's hands, and back."""

from __future__ import annotations

from dataclasses import dataclass

from miniqueue.task import encode_json

__all__ = ["Claimed", "Claims", "Completion", "Failure", "Note", "Postponement", "Submission"]


@dataclass(frozen=True, slots=True)
class Submission:
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

    def words(self) -> list[str | int | float]:
        """Its arguments for enqueue.lua."""
        stored = self.stored()
        head = (self.id, self.priority, self.delay_ms, self.expiry_ms, self.unique, self.digest)
        return [*head, ",".join(self.after), len(stored), *stored]

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
            words += ["after", encode_json(list(self.after))]
        if self.takes != "nothing":
            words += ["takes", self.takes]
        return words


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task in a worker's hands: what to run, and the attempt number that fences it."""

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


@dataclass(frozen=True, slots=True)
class Claims:
    """A reply of claim: Redis' time in ms, the ms to wait if there is nothing, the tasks."""

    now_ms: int
    wait_ms: int
    tasks: list[Claimed]


@dataclass(frozen=True, slots=True)
class Completion:
    """A result (JSON text) on its way in."""

    id: str
    attempt: int
    result: str
    started_ms: int
    run_ms: float


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of an attempt without a result; `state` is scheduled, failed or cancelled."""

    id: str
    attempt: int
    state: str
    error: str
    reason: str
    delay_ms: int
    started_ms: int
    run_ms: float


@dataclass(frozen=True, slots=True)
class Note:
    """Log lines of an attempt on their way in; they go before its end."""

    id: str
    attempt: int
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Postponement:
    """A task that is put off unstarted, by `delay_ms`."""

    id: str
    attempt: int
    delay_ms: int
    reason: str
