"""How long people wait, how many got what, and where a task vanishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from miniqueue.classroom import guesses
from miniqueue.classroom.attempts import Attempt
from miniqueue.classroom.charts.style import (
    BLUE,
    DASHED,
    GREEN,
    GUESS,
    INK,
    ORANGE,
    PALE,
    PAPER,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    Chart,
    block,
    chart_of,
    far,
    lay_rows,
    mark,
    patch,
)
from miniqueue.classroom.charts.tasks import lanes_of, span_of

__all__ = ["counts", "latency_cdf", "vanishing"]

CURVES = [(VERMILLION, "-", "o"), (BLUE, "--", "s"), (GREEN, "-.", "^"), (INK, ":", "v")]
BARS = [(SKY, ""), (ORANGE, "//"), (PALE, ".."), (GREEN, "\\\\")]


@matplotlib.rc_context(STYLE)
def latency_cdf(
    series: Mapping[str, Sequence[float]],
    *,
    guess: Mapping[str, object] | None = None,
    caption: str = "",
) -> Chart:
    """How many per cent have waited at most x seconds: a curve for each series of seconds.

    Signs on a curve are its p50 and p95. `guess` is what the learner expects of the p50, by series.
    """
    if not any(len(waits) for waits in series.values()):
        raise ValueError("there are no waits to draw: has anybody clicked?")
    waits = {name: np.sort(np.asarray(s, dtype=float)) for name, s in series.items() if len(s)}
    chart, (axes,) = chart_of((8.5, 4.4 + 0.2 * len(waits)), 1, caption)
    edge = 1.1 * max(w[-1] for w in waits.values())
    for i, (name, w) in enumerate(waits.items()):
        colour, line, sign = CURVES[i % len(CURVES)]
        p50, p95 = np.percentile(w, [50, 95])
        label = f"{name}: p50 {_time(p50)}, p95 {_time(p95)}"
        heights = np.arange(len(w) + 1) * 100 / len(w)
        steps: dict[str, Any] = {"where": "post", "color": colour, "linestyle": line}
        axes.step([0, *w, edge], [*heights, 100], linewidth=2, **steps)
        axes.plot([p50, p95], [50, 95], sign, color=colour, markersize=8, mec=INK, zorder=5)
        axes.plot([], [], color=colour, linestyle=line, marker=sign, linewidth=2, label=label)
        if (expected := guesses.asked(guess, name)) is not guesses.UNASKED:
            _guessed_half(axes, name, guesses.number(expected), float(p50), edge, sign)
    for height in (50, 95):
        axes.axhline(height, color=PALE, linewidth=0.8, zorder=0)
    ticks = ["0 %", "25 %", "half: p50", "75 %", "p95", "all"]
    axes.set_yticks([0, 25, 50, 75, 95, 100], ticks)
    axes.set(xlim=(-0.02 * edge, edge), ylim=(0, 104))
    axes.set(xlabel="seconds since the click", ylabel="customers who have it")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, handlelength=3)
    return chart


@matplotlib.rc_context(STYLE)
def counts(
    rows: Mapping[str, int],
    *,
    guess: Mapping[str, object] | None = None,
    most: float = guesses.MOST,
    unit: str = "how many",
    caption: str = "",
) -> Chart:
    """A bar for each thing that was counted; what the learner expects of one is a dashed bar.

    No guess may be larger than `most`.
    """
    chart, (axes,) = chart_of((9.0, 1.6 + 0.55 * len(rows)), 1, caption)
    longest = max([1, *rows.values()])
    shown: list[Any] = []
    for row, (name, count) in enumerate(rows.items()):
        colour, hatch = BARS[row % len(BARS)]
        looks: dict[str, Any] = {"facecolor": colour, "edgecolor": INK, "hatch": hatch}
        axes.barh(row, count, height=0.56, linewidth=0.8, **looks)
        place: dict[str, Any] = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{count}", (count, row), weight="bold", **place)
        if (expected := guesses.asked(guess, name)) is not guesses.UNASKED:
            width = guesses.number(expected, 0, most)
            drawn = min(width, 1.12 * longest)
            axes.barh(row, drawn, height=0.8, linewidth=2.2, zorder=4, **DASHED)
            sign: dict[str, Any] = {"mfc": PAPER, "mec": PURPLE, "mew": 2, "ms": 9}
            axes.plot(drawn, row - 0.4, "D", clip_on=False, zorder=6, **sign)  # 0 is seen, too
            label = f"your guess, {name}: {width:g}, measured: {count}{far(drawn, width)}"
            shown.append(Line2D([], [], label=label, marker="D", **sign, **GUESS))
    axes.set_xlim(-0.004 * longest, 1.15 * longest)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lay_rows(axes, list(rows), shown, unit, top=-0.55)
    return chart


@matplotlib.rc_context(STYLE)
def vanishing(
    attempts: Iterable[Attempt],
    *,
    guess: object = guesses.UNASKED,
    marks: Mapping[str, float] | None = None,
    unit: str = "orders",
    caption: str = "",
) -> Chart:
    """A lane for each worker and a bar for each attempt, with its task's id; lost ones are torn.

    `guess` is how many tasks the learner expects to succeed: one that is too high is drawn as a
    dashed bar that nobody has filled, one that is too low as the moment when it was passed. `marks`
    are moments to point out, by name, in ms like the attempts.
    """
    zero, end = span_of(attempts := list(attempts))
    last, lanes = max([end, *(marks or {}).values()]), lanes_of(attempts)
    ends = sorted(a.end_ms for a in attempts if a.outcome == "succeeded")
    span = (last - zero) / 1000
    chart, (axes,) = chart_of((10.0, 1.9 + 0.62 * len(lanes)), 1, caption)
    for a in attempts:
        _bar(axes, a, lanes.index(a.worker), zero, span)
    mark(axes, marks, zero, -0.62)
    shown: list[Any] = [patch(kind) for kind in ("succeeded", "lost") if _has(attempts, kind)]
    edge = 1.16 * span if _has(attempts, "lost") else 1.02 * span
    if guess is not guesses.UNASKED:
        expected = guesses.count(guess, len({a.task for a in attempts}))
        label = f"your guess: {expected} {unit} succeed, measured: {len(ends)}"
        shown.append(Line2D([], [], label=label, **GUESS))
        if expected > len(ends):
            edge = 1.16 * span
            torn = next((a for a in attempts if a.outcome == "lost"), attempts[-1])
            _never(axes, lanes.index(torn.worker), (1.02 * span, 0.12 * span), torn.task)
        else:
            passed = [(end - zero) / 1000 for end in ends][:expected]
            axes.axvline(max(passed, default=0.0), **GUESS)
    axes.set_xlim(-0.01 * span, edge)
    lay_rows(axes, lanes, shown, "seconds since the first start", top=-0.85)
    return chart


def _bar(axes: Axes, a: Attempt, row: int, zero: float, span: float) -> None:
    start = (a.start_ms - zero) / 1000
    block(axes, row, (start, a.seconds), a.outcome, a.task)
    if a.outcome == "lost":
        _tear(axes, row, start + a.seconds, span)


def _tear(axes: Axes, row: int, at: float, span: float) -> None:
    """The end of a bar as a torn edge, and what has become of the rest."""
    y = np.linspace(row - 0.36, row + 0.36, 9)
    x = at + span * np.where(np.arange(9) % 2, -0.009, 0.006)
    axes.fill_betweenx(y, x, at + 0.012 * span, color=PAPER, zorder=3, linewidth=0)
    axes.plot(x, y, color=VERMILLION, linewidth=2, zorder=4)
    looks: dict[str, Any] = {"color": VERMILLION, "weight": "bold", "va": "center"}
    axes.text(at + 0.018 * span, row, "gone", fontsize=12, **looks)


def _never(axes: Axes, row: int, span: tuple[float, float], task: str) -> None:
    """The bar that was expected and has not come."""
    (left, width), looks = span, {"height": 0.7, "linewidth": 2.2, **DASHED}
    axes.barh(row, width, left=left, **looks)
    axes.text(left + width / 2, row, f"{task}?", ha="center", va="center", color=PURPLE)


def _guessed_half(axes: Axes, name: str, guess: float, real: float, edge: float, sign: str) -> None:
    at = min(guess, 0.99 * edge)
    label = (
        f"your guess for half of “{name}”: {_time(guess)}, measured: {_time(real)}{far(at, guess)}"
    )
    axes.plot([at, at], [0, 50], marker=sign, markevery=[1], mfc=PAPER, ms=8, label=label, **GUESS)


def _has(attempts: Sequence[Attempt], outcome: str) -> bool:
    return any(a.outcome == outcome for a in attempts)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if 0 < seconds < 0.1 else f"{seconds:.1f} s"
