"""What notebooks, labs and benchmarks use: launch a whole stack, draw it, measure it, break it.

    from miniqueue.classroom import Stack, charts, measure

Stack, charts and measure bring httpx, matplotlib and scipy only when they are asked for: workers
of a chaos run live in this package too, and start often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniqueue.classroom.stack import Stack

__all__ = ["Stack"]


def __getattr__(name: str) -> Any:
    if name == "Stack":
        from miniqueue.classroom.stack import Stack

        return Stack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
