"""Charts: the pictures of the course, in one quiet style.

`system()` draws the machine, `states()` tasks by state, `swim_lanes()` who did what when,
`progress()` tasks done over time, `throughput()` rates against workers with the fitted laws. Each
gives a Chart, which a notebook shows and `savefig` writes. A learner's guess is drawn dashed and
compared in the legend. Colours are Okabe and Ito's; hatches, markers and line styles say the same
without them. The background is solid, so a picture reads in a light and in a dark JupyterLab.
"""

from __future__ import annotations

import bisect
import io
import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from miniqueue.classroom.attempts import Attempt
from miniqueue.classroom.measure import Fit

__all__ = ["Chart", "progress", "states", "swim_lanes", "system", "throughput"]

Rates = Mapping[int, tuple[float, float, float]]  # workers: median, lowest, highest
INK, GREY, PALE, PAPER = "#222222", "#8a8a8a", "#c8c8c8", "#ffffff"
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
GUESS: dict[str, Any] = {"color": PURPLE, "linestyle": (0, (5, 3)), "linewidth": 2.2}
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
LAWS = {"Amdahl": (BLUE, "-", ""), "USL": (VERMILLION, "-.", "////")}


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


@matplotlib.rc_context(STYLE)
def throughput(
    series: Mapping[str, Rates],
    *,
    fits: Mapping[str, Sequence[Fit]] | None = None,
    guess: Mapping[str, float] | None = None,
    title: str = "",
    caption: str = "",
) -> Chart:
    """Tasks a second against workers, a panel for each workload; the ideal line is at one angle.

    `series` has {workers: (median, lowest, highest)} for each workload, as measure.medians() gives;
    `guess` how many times the rate of the fewest workers the learner expects of the most.
    """
    rows = 4.3 + 0.2 * (3 + max((len(fit) for fit in (fits or {}).values()), default=0))
    chart, panels = _chart((max(7.0, 4.1 * len(series)), rows), len(series), caption, title)
    for axes, (name, rates) in zip(panels, series.items(), strict=True):
        _ideal(axes, rates, name)
        for fit in (fits or {}).get(name, ()):
            _law(axes, fit, max(rates))
        _points(axes, rates)
        if guess is not None and name in guess:
            _guessed_gain(axes, rates, guess[name])
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, handlelength=2.6)
    panels[0].set_ylabel("tasks a second")
    return chart


@matplotlib.rc_context(STYLE)
def swim_lanes(
    attempts: Sequence[Attempt],
    *,
    guess: float | None = None,
    measured: float | None = None,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """A lane for each worker, a bar for each attempt, numbered by task as they were first claimed.

    `marks` are moments to point out, by name, in ms as events have them. `guess` and `measured` are
    seconds after the first mark, or where there is none after the first start; without `measured`
    the guess is compared with the end of the last attempt.
    """
    zero, last = _span(attempts)
    lanes = sorted({a.worker for a in attempts}, key=lambda name: (len(name), name))
    numbers = {task: n for n, task in enumerate(dict.fromkeys(a.task for a in attempts), 1)}
    chart, (axes,) = _chart((10.0, 1.9 + 0.62 * len(lanes)), 1, caption)
    for a in attempts:
        left, line = (a.start_ms - zero) / 1000, "--" if a.outcome in ("lost", "released") else "-"
        words = f"{numbers[a.task]}" + (f"\nattempt {a.number}" if a.number > 1 else "")
        _block(axes, lanes.index(a.worker), (left, a.seconds), a.outcome, words, linestyle=line)
    _marks(axes, marks, zero, -0.62)
    seen = {a.outcome for a in attempts}
    shown: list[Any] = [_patch(outcome) for outcome in LOOKS if outcome in seen]
    if guess is not None:
        name, since = next(iter((marks or {}).items()), ("the start", zero))
        real = (last - since) / 1000 if measured is None else measured
        label = f"your guess: {guess:.1f} s after {name}, measured: {real:.1f} s"
        at, edge = (since - zero) / 1000 + guess, 1.6 * (last - zero) / 1000
        label += " (drawn at the edge)" if at > edge else ""  # 99 s must not squeeze the lanes
        shown.append(axes.axvline(min(at, edge), label=label, **GUESS))
    axes.set_xlim(left=-0.03)
    _rows(axes, lanes, shown, "seconds since the first start", top=-0.85)
    return chart


@matplotlib.rc_context(STYLE)
def states(
    rows: Mapping[str, Mapping[str, int]],
    *,
    guess: Mapping[str, int] | None = None,
    caption: str = "",
) -> Chart:
    """Tasks by state, a stacked bar for each moment: {"just sent": {"queued": 9, ...}, ...}.

    `guess` is the learner's expectation of the first moment; it is drawn dashed, above it.
    """
    drawn = {**({"your guess": guess} if guess else {}), **rows}
    chart, (axes,) = _chart((9.0, 1.5 + 0.55 * len(drawn)), 1, caption)
    dashed = {"facecolor": PAPER, "edgecolor": PURPLE, "linestyle": (0, (4, 2)), "linewidth": 2}
    for place, (row, counts) in enumerate(drawn.items()):
        left = 0
        for state in (state for state in LOOKS if counts.get(state, 0) > 0):
            looks = dashed if guess and row == "your guess" else {}
            _block(axes, place, (left, counts[state]), state, f"{counts[state]} {state}", **looks)
            left += counts[state]
    seen = [state for state in LOOKS if any(counts.get(state, 0) > 0 for counts in drawn.values())]
    _rows(axes, list(drawn), [_patch(state) for state in seen], "tasks", top=-0.5)
    return chart


@matplotlib.rc_context(STYLE)
def progress(
    attempts: Sequence[Attempt],
    total: int,
    *,
    guess: float | None = None,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """Tasks done over time: the slope is the throughput, written at each stretch between `marks`.

    `guess` is how many of the `total` the learner expects to be done in the end; marks are in ms.
    """
    zero, _ = _span(attempts)
    ends = sorted((a.end_ms - zero) / 1000 for a in attempts if a.outcome == "succeeded")
    chart, (axes,) = _chart((8.5, 4.2), 1, caption)
    axes.step([0, *ends], range(len(ends) + 1), where="post", color=BLUE, linewidth=2)
    axes.axhline(total, color=GREY, linewidth=1, label=f"sent: {total}")
    if guess is not None:
        label = f"your guess: {guess:.0f} done, measured: {len(ends)} done"
        axes.axhline(guess, label=label, **GUESS)
    moments = _marks(axes, marks, zero, 1.06 * total)
    for left, right in itertools.pairwise([0.0, *moments, *ends[-1:]]):
        _slope(axes, ends, left, right)
    axes.set(xlabel="seconds since the first start", ylabel="tasks done")
    axes.set(xlim=(0, max(ends, default=1) * 1.02), ylim=(0, total * 1.12))
    axes.legend(loc="lower right")
    return chart


BOXES = {  # part: left, bottom, width, height, what it holds
    "client": (0.0, 0.75, 2.0, 1.35, "a notebook,\na shop, a phone"),
    "API": (3.3, 0.75, 1.9, 1.35, "FastAPI: checks,\nanswers 202"),
    "Redis": (6.5, 0.0, 2.4, 2.1, "queued: a list\nrunning: leases\neach task's state\nevents"),
    "workers": (10.4, 0.0, 1.9, 2.1, "w0  w1  w2  …\neach one claims,\nruns, completes"),
}
ARROWS = (  # from, to, words, the parts it joins
    ((2.0, 1.65), (3.3, 1.65), "POST /task", {"client", "API"}),
    ((3.3, 1.0), (2.0, 1.0), "202, id", {"client", "API"}),
    ((5.2, 1.35), (6.5, 1.35), "enqueue", {"API", "Redis"}),
    ((1.0, 0.25), (6.5, 0.25), "enqueue, from Python", {"client", "Redis"}),
    ((8.9, 1.5), (10.4, 1.5), "claim", {"Redis", "workers"}),
    ((10.4, 0.8), (8.9, 0.8), "complete", {"Redis", "workers"}),
)


@matplotlib.rc_context(STYLE)
def system(highlight: Iterable[str] = tuple(BOXES), *, caption: str = "") -> Chart:
    """The whole machine; parts that are not in `highlight` are pale. Grows through the course.

    Parts: client, API, Redis, workers. Raises ValueError for another one.
    """
    lit = set(highlight)
    if unknown := lit - set(BOXES):
        raise ValueError(f"no part is called {min(unknown)!r}: there are {', '.join(BOXES)}")
    chart, (axes,) = _chart((10.0, 2.4), 1, caption)
    axes.set(xlim=(-0.1, 12.4), ylim=(-0.05, 2.15))
    axes.axis("off")
    for part in BOXES:
        _box(axes, part, part in lit)
    for (x, y), end, words, parts in ARROWS:
        colour, floor = INK if parts <= lit else PALE, BOXES["client"][1]
        if y < floor:  # it leaves from below the client
            axes.plot([x, x], [floor, y], color=colour, linewidth=1.4)
        looks = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0}
        axes.annotate("", end, (x, y), arrowprops=looks)
        axes.text((x + end[0]) / 2, y + 0.08, words, ha="center", fontsize=8.5, color=colour)
    return chart


# -- parts of pictures -----------------------------------------------------------------------------


def _chart(
    size: tuple[float, float], columns: int, caption: str, title: str = ""
) -> tuple[Chart, list[Axes]]:
    chart = Chart(figsize=size, layout="constrained")
    chart.caption = caption
    if title:
        chart.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    words = textwrap.fill(caption, int(13 * size[0]))
    chart.supxlabel(words, fontsize=9.5, x=0.01, ha="left", color="#444444")
    return chart, list(chart.subplots(1, columns, squeeze=False)[0])


def _ideal(axes: Axes, rates: Rates, name: str) -> None:
    few, most = min(rates), max(rates)
    ends = [rates[few][0], rates[few][0] / few * most]
    axes.plot([few, most], ends, "--", color=GREY, linewidth=1, label="ideal: n times one")
    axes.set(title=name, xlabel="workers", xlim=(0, most * 1.06), xticks=list(rates))
    axes.set_ylim(0, 1.1 * max(ends[1], *(high for _, _, high in rates.values())))
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _law(axes: Axes, fit: Fit, most: int) -> None:
    colour, line, hatch = LAWS.get(fit.law, (GREEN, ":", ""))
    n = np.linspace(1, most, 100)
    words = ", ".join(f"{k} {v:.3f}" for k, v in fit.parameters.items() if k != "one")
    axes.plot(n, fit(n), line, color=colour, linewidth=1.6, label=f"{fit.law}: {words}")
    if (band := fit.band(n)) is not None:
        axes.fill_between(n, *band, facecolor=colour, alpha=0.16, linewidth=0, hatch=hatch)


def _points(axes: Axes, rates: Rates) -> None:
    middle, low, high = np.array(list(rates.values())).T
    spread = [middle - low, high - middle]
    looks: dict[str, Any] = {"fmt": "o", "color": INK, "markersize": 6, "capsize": 4, "zorder": 5}
    axes.errorbar(list(rates), middle, yerr=spread, label="measured", **looks)


def _guessed_gain(axes: Axes, rates: Rates, guess: float) -> None:
    few, most = min(rates), max(rates)
    base = rates[few][0]
    label = f"your guess: {guess:g}x, measured: {rates[most][0] / base:.1f}x"
    axes.plot([few, most], [base, base * guess], marker="D", mfc=PAPER, label=label, **GUESS)
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.1 * base * guess))


def _span(attempts: Sequence[Attempt]) -> tuple[float, float]:
    if not attempts:
        raise ValueError("there are no attempts to draw: has any task started?")
    return min(a.start_ms for a in attempts), max(a.end_ms for a in attempts)


def _marks(axes: Axes, marks: Mapping[str, float] | None, zero: float, y: float) -> list[float]:
    """Draw the moments; gives them as seconds after `zero`."""
    moments = {name: (at - zero) / 1000 for name, at in (marks or {}).items()}
    for name, at in moments.items():
        axes.axvline(at, color=INK, linewidth=1.2)
        axes.annotate(name, (at, y), xytext=(5, 0), textcoords="offset points", va="center")
    return sorted(moments.values())


def _block(
    axes: Axes, row: int, span: tuple[float, float], kind: str, words: str, **looks: Any
) -> None:
    (left, width), (colour, hatch) = span, LOOKS[kind]
    looks = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.8, **looks}
    axes.barh(row, width, left=left, height=0.62, hatch=hatch, **looks)
    paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
    axes.text(left + width / 2, row, words, ha="center", va="center", fontsize=8.5, bbox=paper)


def _rows(axes: Axes, names: Sequence[str], shown: list[Any], unit: str, *, top: float) -> None:
    axes.set_ylim(len(names) - 0.5, top)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(unit)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
    axes.legend(handles=shown, ncols=len(shown), handlelength=2.4, **place)


def _slope(axes: Axes, ends: Sequence[float], left: float, right: float) -> None:
    done = [n for n, at in enumerate(ends, 1) if left < at <= right]
    if len(done) < 2:
        return
    at = left + 0.7 * (right - left)  # not in the middle, where a guess may well lie
    point, rate = (at, bisect.bisect(ends, at)), len(done) / (right - left)
    looks: dict[str, Any] = {"color": BLUE, "bbox": {"fc": PAPER, "ec": "none", "pad": 1}}
    place: dict[str, Any] = {"xytext": (9, -4), "textcoords": "offset points", "va": "top"}
    axes.annotate(f"{rate:.0f} tasks a second", point, **looks, **place)


def _box(axes: Axes, part: str, lit: bool) -> None:
    left, bottom, width, height, holds = BOXES[part]
    face, edge, ink = ("#e3f1fa", BLUE, INK) if lit else ("#f7f7f7", PALE, "#b4b4b4")
    looks: dict[str, Any] = {"boxstyle": "round,pad=0.08", "fc": face, "ec": edge, "lw": 1.5}
    corner = (left + 0.08, bottom + 0.08)
    axes.add_patch(FancyBboxPatch(corner, width - 0.16, height - 0.16, **looks))
    middle, top = left + width / 2, bottom + height
    axes.text(middle, top - 0.17, part, ha="center", va="top", weight="bold", color=ink)
    axes.text(middle, top - 0.62, holds, ha="center", va="top", fontsize=9, color=ink)


def _patch(kind: str) -> Patch:
    colour, hatch = LOOKS[kind]
    return Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.8, label=kind)
