"""Threads: a group of daemon threads that are ended together, and what they raise is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Threads"]


class Threads:
    """`ending` is set by stop(); a thread that goes on for long waits on it."""

    def __init__(self) -> None:
        self.ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failed: list[Exception] = []

    def run(self, target: Callable[[], object]) -> None:
        """In a thread of its own."""

        def guarded() -> None:
            try:
                target()
            except Exception as error:  # told by check()
                self._failed.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def alive(self) -> bool:
        """Whether any of them still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def check(self) -> None:
        """Raise what the first of them that failed has raised."""
        if self._failed:
            raise self._failed[0]

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of each, at most so long."""
        for thread in self._threads:
            thread.join(seconds)

    def stop(self, seconds: float | None = None) -> None:
        """Ask them to end, and wait."""
        self.ending.set()
        self.join(seconds)
