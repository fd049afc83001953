"""What tasks do: their states, who ran which when, how many are done."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from miniqueue.classroom import guesses
from miniqueue.classroom.attempts import Attempt
from miniqueue.classroom.charts.style import (
    BLUE,
    GREY,
    GUESS,
    LOOKS,
    PAPER,
    PURPLE,
    STYLE,
    Chart,
    block,
    chart_of,
    far,
    lay_rows,
    mark,
    patch,
)

__all__ = ["lanes_of", "progress", "span_of", "states", "swim_lanes"]


@matplotlib.rc_context(STYLE)
def swim_lanes(
    attempts: Sequence[Attempt],
    *,
    guess: object = guesses.UNASKED,
    measured: float | None = None,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """A lane for each worker, a bar for each attempt, numbered by task as they were first claimed.

    `marks` are moments to point out, by name, in ms as events have them. `guess` and `measured` are
    seconds after the first mark, or where there is none after the first start; without `measured`
    the guess is compared with the end of the last attempt.
    """
    zero, last = span_of(attempts)
    lanes = lanes_of(attempts)
    numbers = {task: n for n, task in enumerate(dict.fromkeys(a.task for a in attempts), 1)}
    chart, (axes,) = chart_of((10.0, 1.9 + 0.62 * len(lanes)), 1, caption)
    for a in attempts:
        left, line = (a.start_ms - zero) / 1000, "--" if a.outcome in ("lost", "released") else "-"
        words = f"{numbers[a.task]}" + (f"\nattempt {a.number}" if a.number > 1 else "")
        block(axes, lanes.index(a.worker), (left, a.seconds), a.outcome, words, linestyle=line)
    mark(axes, marks, zero, -0.62)
    seen = {a.outcome for a in attempts}
    shown: list[Any] = [patch(outcome) for outcome in LOOKS if outcome in seen]
    if guess is not guesses.UNASKED:
        expected = guesses.number(guess)
        name, since = next(iter((marks or {}).items()), ("the start", zero))
        real = (last - since) / 1000 if measured is None else measured
        label = f"your guess: {expected:.1f} s after {name}, measured: {real:.1f} s"
        at, edge = (since - zero) / 1000 + expected, 1.6 * (last - zero) / 1000
        drawn = min(at, edge)  # 99 s must not squeeze the lanes
        shown.append(axes.axvline(drawn, label=label + far(drawn, at), **GUESS))
    axes.set_xlim(left=-0.03)
    lay_rows(axes, lanes, shown, "seconds since the first start", top=-0.85)
    return chart


@matplotlib.rc_context(STYLE)
def states(
    rows: Mapping[str, Mapping[str, int]],
    *,
    guess: Mapping[str, object] | None = None,
    rest: str | None = "queued",
    caption: str = "",
) -> Chart:
    """Tasks by state, a stacked bar for each moment: {"just sent": {"queued": 9, ...}, ...}.

    `guess` is the learner's expectation of the first moment, by state; it is drawn dashed, above
    it. Those of which it says nothing are in the state `rest`; with None they are left out.
    """
    total = sum(next(iter(rows.values())).values())
    expected = {state: guesses.count(value, total) for state, value in (guess or {}).items()}
    whole = expected if rest is None else {**expected, rest: total - sum(expected.values())}
    drawn = {**({"your guess": whole} if guess else {}), **rows}
    chart, (axes,) = chart_of((9.0, 1.5 + 0.55 * len(drawn)), 1, caption)
    dashed = {"facecolor": PAPER, "edgecolor": PURPLE, "linestyle": (0, (4, 2)), "linewidth": 2}
    for place, (row, counts) in enumerate(drawn.items()):
        left = 0
        for state in (state for state in LOOKS if counts.get(state, 0) > 0):
            looks = dashed if guess and row == "your guess" else {}
            block(axes, place, (left, counts[state]), state, f"{counts[state]} {state}", **looks)
            left += counts[state]
    seen = [state for state in LOOKS if any(counts.get(state, 0) > 0 for counts in drawn.values())]
    lay_rows(axes, list(drawn), [patch(state) for state in seen], "tasks", top=-0.5)
    return chart


@matplotlib.rc_context(STYLE)
def progress(
    attempts: Sequence[Attempt],
    total: int,
    *,
    guess: object = guesses.UNASKED,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """Tasks done over time: the slope is the throughput, written at each stretch between `marks`.

    `guess` is how many per cent of the `total` the learner expects to be done in the end; marks are
    in ms.
    """
    zero, _ = span_of(attempts)
    ends = sorted((a.end_ms - zero) / 1000 for a in attempts if a.outcome == "succeeded")
    chart, (axes,) = chart_of((8.5, 4.2), 1, caption)
    axes.step([0, *ends], range(len(ends) + 1), where="post", color=BLUE, linewidth=2)
    axes.axhline(total, color=GREY, linewidth=1, label=f"sent: {total}")
    if guess is not guesses.UNASKED:
        percent = guesses.number(guess, 0, 100)
        share = 100 * len(ends) / total
        label = f"your guess: {percent:g} % done, measured: {share:.0f} % done"
        axes.axhline(total * percent / 100, label=label, zorder=6, **GUESS)
    moments = mark(axes, marks, zero, 1.06 * total)
    for left, right in itertools.pairwise([0.0, *moments, *ends[-1:]]):
        _slope(axes, ends, left, right)
    axes.set(xlabel="seconds since the first start", ylabel="tasks done")
    axes.set(xlim=(0, max(ends, default=1) * 1.02), ylim=(0, total * 1.12))
    axes.legend(loc="lower right")
    return chart


def lanes_of(attempts: Sequence[Attempt]) -> list[str]:
    """The workers, in the order of their numbers."""
    return sorted({a.worker for a in attempts}, key=lambda name: (len(name), name))


def span_of(attempts: Sequence[Attempt]) -> tuple[float, float]:
    """First start and last end, in ms. Raises ValueError where there are none."""
    if not attempts:
        raise ValueError("there are no attempts to draw: has any task started?")
    return min(a.start_ms for a in attempts), max(a.end_ms for a in attempts)


def _slope(axes: Axes, ends: Sequence[float], left: float, right: float) -> None:
    done = [n for n, at in enumerate(ends, 1) if left < at <= right]
    if len(done) < 2:
        return
    at = left + 0.7 * (right - left)  # not in the middle, where a guess may well lie
    point, rate = (at, bisect.bisect(ends, at)), len(done) / (right - left)
    looks: dict[str, Any] = {"color": BLUE, "bbox": {"fc": PAPER, "ec": "none", "pad": 1}}
    place: dict[str, Any] = {"xytext": (9, -4), "textcoords": "offset points", "va": "top"}
    axes.annotate(f"{rate:.0f} tasks a second", point, **looks, **place)
