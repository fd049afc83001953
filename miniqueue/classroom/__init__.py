"""What notebooks, labs and benchmarks use: launch a whole stack, draw it, measure it, break it.

    from miniqueue.classroom import Stack, attempts_of, charts, check, measure, verdict

What is asked for is imported then, and brings httpx, matplotlib and scipy with it: workers of a
chaos run live in this package too, and start often. In a notebook the import also makes errors
short (tracebacks.py).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from miniqueue.classroom.cells import late_stop

if TYPE_CHECKING:
    from miniqueue.classroom import charts, measure
    from miniqueue.classroom.attempts import attempts_of
    from miniqueue.classroom.explorer import explore
    from miniqueue.classroom.guesses import off
    from miniqueue.classroom.labs import check, require
    from miniqueue.classroom.measure import size, verdict
    from miniqueue.classroom.stack import Stack

__all__ = [
    "Stack",
    "attempts_of",
    "charts",
    "check",
    "explore",
    "measure",
    "off",
    "require",
    "size",
    "verdict",
]
MODULES = ("charts", "measure")
PLACES = {  # name: module
    "Stack": "stack",
    "attempts_of": "attempts",
    "check": "labs",
    "explore": "explorer",
    "off": "guesses",
    "require": "labs",
    "size": "measure",
    "verdict": "measure",
}


def __getattr__(name: str) -> Any:
    if name in PLACES or name in MODULES:
        with late_stop():
            module = importlib.import_module(f"{__name__}.{PLACES.get(name, name)}")
        return module if name in MODULES else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if "IPython" in sys.modules:
    importlib.import_module(f"{__name__}.tracebacks").install()
