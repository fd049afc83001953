"""The machine, a part more in each notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from miniqueue.classroom.charts.style import BLUE, INK, PALE, STYLE, Chart, chart_of

__all__ = ["system"]

BOXES = {  # part: left, bottom, width, height, what it holds
    "client": (0.0, 1.15, 2.0, 1.35, "a notebook,\na shop, a phone"),
    "API": (3.3, 1.15, 1.9, 1.35, "FastAPI: checks,\nanswers 202"),
    "Redis": (6.3, 0.0, 2.7, 2.5, ""),
    "workers": (10.4, 0.4, 1.9, 2.1, "w0  w1  w2  …\neach one claims,\nruns, completes"),
}
SHELVES = {  # what Redis holds
    "queued": "a list of ids",
    "leases": "who runs what",
    "states": "a hash a task",
    "once": "keys already used",
    "scheduled": "due later",
    "events": "what happened",
}
ARROWS = (  # from, to, words, the parts it joins
    ((2.0, 2.05), (3.3, 2.05), "POST /task", {"client", "API"}),
    ((3.3, 1.4), (2.0, 1.4), "202, id", {"client", "API"}),
    ((5.2, 1.75), (6.3, 1.75), "enqueue", {"API", "Redis"}),
    ((1.0, 0.45), (6.3, 0.45), "enqueue, from Python", {"client", "Redis"}),
    ((9.0, 1.9), (10.4, 1.9), "claim", {"Redis", "workers"}),
    ((10.4, 1.1), (9.0, 1.1), "complete", {"Redis", "workers"}),
)
FAINT = "#949494"


@matplotlib.rc_context(STYLE)
def system(highlight: Iterable[str] = (*BOXES, *SHELVES), *, caption: str = "") -> Chart:
    """The whole machine; parts that are not in `highlight` are pale. Grows through the course.

    Parts: client, API, Redis, workers; and in Redis queued, leases, states, once, scheduled,
    events (none named: all of them, if Redis is). Raises ValueError for another one.
    """
    lit = set(highlight)
    if unknown := lit - {*BOXES, *SHELVES}:
        known = ", ".join((*BOXES, *SHELVES))
        raise ValueError(f"no part is called {min(unknown)!r}: there are {known}")
    shelves = lit & {*SHELVES} or ({*SHELVES} if "Redis" in lit else set())
    lit |= {"Redis"} if shelves else set()
    chart, (axes,) = chart_of((10.0, 2.75), 1, caption)
    axes.set(xlim=(-0.1, 12.4), ylim=(-0.05, 2.55))
    axes.axis("off")
    for part in BOXES:
        _box(axes, part, part in lit)
    _shelves(axes, shelves)
    for (x, y), end, words, parts in ARROWS:
        colour, floor = INK if parts <= lit else PALE, BOXES["client"][1]
        if y < floor and x < BOXES["Redis"][0]:  # it leaves from below the client
            axes.plot([x, x], [floor, y], color=colour, linewidth=1.4)
        looks = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0}
        axes.annotate("", end, (x, y), arrowprops=looks)
        axes.text((x + end[0]) / 2, y + 0.08, words, ha="center", fontsize=8.5, color=colour)
    return chart


def _box(axes: Axes, part: str, lit: bool) -> None:
    left, bottom, width, height, holds = BOXES[part]
    face, edge, ink = ("#e3f1fa", BLUE, INK) if lit else ("#f7f7f7", PALE, FAINT)
    looks: dict[str, Any] = {"boxstyle": "round,pad=0.08", "fc": face, "ec": edge, "lw": 1.5}
    corner = (left + 0.08, bottom + 0.08)
    axes.add_patch(FancyBboxPatch(corner, width - 0.16, height - 0.16, **looks))
    middle, top = left + width / 2, bottom + height
    axes.text(middle, top - 0.15, part, ha="center", va="top", weight="bold", color=ink)
    axes.text(middle, top - 0.62, holds, ha="center", va="top", fontsize=9, color=ink)


def _shelves(axes: Axes, lit: set[str]) -> None:
    left, bottom, _, height, _ = BOXES["Redis"]
    for place, (name, holds) in enumerate(SHELVES.items()):
        y, ink = bottom + height - 0.58 - 0.32 * place, INK if name in lit else FAINT
        axes.text(left + 0.2, y, name, va="top", fontsize=8.5, weight="bold", color=ink)
        axes.text(left + 1.13, y, holds, va="top", fontsize=8.5, color=ink)
