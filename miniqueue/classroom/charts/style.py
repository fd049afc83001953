"""The one quiet style of all pictures, and the parts that several of them have."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

__all__ = [
    "BLUE",
    "DASHED",
    "GREEN",
    "GREY",
    "GUESS",
    "INK",
    "LOOKS",
    "ORANGE",
    "PALE",
    "PAPER",
    "PURPLE",
    "SKY",
    "STYLE",
    "VERMILLION",
    "YELLOW",
    "Chart",
    "block",
    "chart_of",
    "far",
    "lay_rows",
    "mark",
    "patch",
]

INK, GREY, PALE, PAPER = "#222222", "#8a8a8a", "#c8c8c8", "#ffffff"
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
GUESS: dict[str, Any] = {"color": PURPLE, "linestyle": (0, (5, 3)), "linewidth": 2.2}
DASHED: dict[str, Any] = {"facecolor": "none", "edgecolor": PURPLE, "linestyle": (0, (4, 2))}
STYLE: Any = {  # used inside rc_context: importing this module changes no setting of matplotlib
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
}
LOOKS = {  # of states and outcomes: colour and hatch
    "deferred": (PALE, "oo"),
    "scheduled": (YELLOW, "\\\\"),
    "queued": (SKY, ".."),
    "running": (ORANGE, "//"),
    "succeeded": (GREEN, ""),
    "failed": (VERMILLION, "++"),
    "cancelled": (PALE, "--"),
    "lost": (PAPER, "xxx"),
    "released": (PAPER, ""),
}


class Chart(Figure):
    """A figure that shows itself in a notebook, once, and that pyplot does not keep."""

    caption = ""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        """More pixels than it is wide, for sharp text; the caption is the alternative text."""
        png = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(png, format="png", dpi=150, metadata={"Software": None})
        width, height = self.get_size_inches() * 88
        return png.getvalue(), {"width": int(width), "height": int(height), "alt": self.caption}


def chart_of(
    size: tuple[float, float], columns: int, caption: str, title: str = ""
) -> tuple[Chart, list[Axes]]:
    """An empty picture with its caption below, and a row of so many panels."""
    chart = Chart(figsize=size, layout="constrained")
    chart.caption = caption
    if title:
        chart.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    words = textwrap.fill(caption, int(13 * size[0]))
    chart.supxlabel(words, fontsize=9.5, x=0.01, ha="left", color="#444444")
    return chart, list(chart.subplots(1, columns, squeeze=False)[0])


def mark(axes: Axes, marks: Mapping[str, float] | None, zero: float, y: float) -> list[float]:
    """Draw the moments; gives them as seconds after `zero`."""
    moments = {name: (at - zero) / 1000 for name, at in (marks or {}).items()}
    for name, at in moments.items():
        axes.axvline(at, color=INK, linewidth=1.2)
        axes.annotate(name, (at, y), xytext=(5, 0), textcoords="offset points", va="center")
    return sorted(moments.values())


def block(
    axes: Axes, row: int, span: tuple[float, float], kind: str, words: str, **looks: Any
) -> None:
    """A bar in a row, with words on it; `kind` is a state or an outcome."""
    (left, width), (colour, hatch) = span, LOOKS[kind]
    looks = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.8, **looks}
    axes.barh(row, width, left=left, height=0.62, hatch=hatch, **looks)
    paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
    axes.text(left + width / 2, row, words, ha="center", va="center", fontsize=8.5, bbox=paper)


def lay_rows(axes: Axes, names: Sequence[str], shown: list[Any], unit: str, *, top: float) -> None:
    """Name the rows, the unit below and what is shown above."""
    axes.set_ylim(len(names) - 0.5, top)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(unit)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
    axes.legend(handles=shown, ncols=len(shown), handlelength=2.4, **place)


def patch(kind: str) -> Patch:
    """The sign of a state or an outcome, for a legend."""
    colour, hatch = LOOKS[kind]
    return Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.8, label=kind)


def far(drawn: float, meant: float) -> str:
    """What a legend adds where a guess is drawn at the edge, so that it squeezes nothing."""
    return "" if drawn == meant else " (drawn at the edge)"
