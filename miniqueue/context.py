"""Context: what a task function may ask for about its own attempt. Pure: a desk does the I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Context", "Desk"]


class Desk(Protocol):
    """Where a context hands things in; a worker has one for each run, a test may have its own."""

    def progress(self, fraction: float, text: str) -> None: ...
    def log(self, line: str) -> None: ...
    def emit(self, piece: str) -> None: ...
    def save(self, checkpoint: Any) -> None: ...
    def saved(self) -> Any: ...
    def once(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Injected into a parameter that is annotated `Context`.

    `attempt` counts the claims of this task. All methods raise LeaseLost once another attempt owns
    the task, so that a run which came back from the dead stops.
    """

    task_id: str
    name: str
    queue: str
    worker: str
    attempt: int
    max_attempts: int
    _desk: Desk

    @property
    def fence(self) -> int:
        """The fencing token: grows with every claim, never falls.

        A sink that remembers the highest one it saw can refuse a writer from the past.
        """
        return self.attempt

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the task is, 0 to 1, and a few words; the last one is kept with the task."""
        self._desk.progress(round(min(1.0, max(0.0, fraction)), 4), text[:200])

    def log(self, text: str) -> None:
        """Keep a line (its first 1,000 characters) with the task; seen within about a second."""
        self._desk.log(text[:1000])

    def emit(self, piece: str) -> None:
        """Add a piece of output that readers see at once, long before the result."""
        self._desk.emit(piece)

    def checkpoint(self, value: Any) -> None:
        """Keep a JSON value from which the next attempt can go on, should this one die."""
        self._desk.save(value)

    @property
    def resumed(self) -> Any:
        """The last checkpoint of an earlier attempt (or of this one), None where there is none."""
        return self._desk.saved()

    def once(self, key: str) -> bool:
        """True for the first attempt that asks for this key, False ever after.

        For an effect that must not happen twice: `if ctx.once("mail"): send()`. Dying between the
        two means that the effect never happens, which is the price of "at most once".
        """
        return self._desk.once(key)
