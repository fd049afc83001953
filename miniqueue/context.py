"""Context: what a task function may ask for about its own attempt. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Context"]

Reporter = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Context:
    """Injected into a parameter that is annotated `Context`.

    `attempt` counts the claims of this task and is its fencing token: a sink that remembers the
    highest one it saw can refuse a writer that came back from the dead.
    """

    task_id: str
    name: str
    queue: str
    worker: str
    attempt: int
    max_attempts: int
    _report: Reporter

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the task is: 0 to 1, and a few words; the last one is kept with the task."""
        self._report(
            "progress", {"fraction": round(min(1.0, max(0.0, fraction)), 4), "text": text[:200]}
        )

    def log(self, text: str) -> None:
        """Keep a line (its first 1,000 characters) with the task; see GET /task/{id}/logs."""
        self._report("log", text[:1000])
