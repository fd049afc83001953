"""Pace: how much work a worker may hold (rule R9). Pure.

A worker holds no more unstarted tasks than it expects to start within `prefetch_s`. What to expect
is measured: a moving average of run times for each task function, and one over the last tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from miniqueue.protocol.records import Claimed

__all__ = ["Pace"]

WEIGHT = 0.2  # of the newest run in the averages


class Pace:
    """Run times by function name, in seconds, and what follows for the next claim."""

    def __init__(self, prefetch_s: float, batch: int) -> None:
        self.prefetch_s = prefetch_s
        self._batch = batch
        self._recent = prefetch_s
        self._by_name: dict[str, float] = {}

    def ran(self, name: str, seconds: float) -> None:
        """Learn from a run."""
        self._recent += WEIGHT * (seconds - self._recent)
        known = self._by_name.get(name, seconds)
        self._by_name[name] = known + WEIGHT * (seconds - known)

    def limit(self, held: int = 0) -> int:
        """How many tasks to claim: as many as recent ones would start in time, at least one.

        While `held` tasks wait to be started: as many as would start in time after them, at least
        none.

        >>> pace = Pace(prefetch_s=0.02, batch=64)
        >>> pace.limit()
        1
        >>> for _ in range(50): pace.ran("add", 0.00001)
        >>> pace.limit()
        64
        """
        in_time = int(self.prefetch_s / max(self._recent, 1e-9))
        return min(self._batch, max(0 if held else 1, in_time - held))

    def split(
        self, tasks: Sequence[Claimed], batch_of: Callable[[Claimed], int] = lambda task: 1
    ) -> tuple[list[Claimed], list[Claimed]]:
        """Those that can be expected to start in time, and those to hand back at once.

        A function that never ran here counts as slow, so nothing waits behind a stranger. Tasks
        that run in one call (`batch_of` says how many do) start together.
        """
        start = 0.0
        seen: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for i, task in enumerate(tasks):
            name = task.name
            place = seen.get(name, 0)
            size = sizes[name] if place else sizes.setdefault(name, batch_of(task))
            if size == 1 or place % size == 0:  # it begins a call
                if i and start >= self.prefetch_s:
                    return list(tasks[:i]), list(tasks[i:])
                start += size * self._by_name.get(name, self.prefetch_s / size)
            seen[name] = place + 1
        return list(tasks), []
