"""Load on a service over time: attempts in an outage, and a burst of requests at the front door."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from miniqueue.classroom import guesses
from miniqueue.classroom.attempts import Attempt
from miniqueue.classroom.charts.style import (
    BLUE,
    GREY,
    GUESS,
    INK,
    LOOKS,
    PALE,
    PAPER,
    PURPLE,
    STYLE,
    Chart,
    chart_of,
    far,
    patch,
)
from miniqueue.views import Event

__all__ = ["attempts_a_second", "burst", "peak_of"]

STEP_S = 0.25  # width of a bar of attempts
SETTLED_S = 1.0  # in the first second all orders come at once, whatever the policy is
BURST_S = 0.1  # width of a bar of replies
LOW = 0.06  # a guess below this part of the highest bar is pointed at
EDGE = 1.25  # a guess beyond this many times the highest bar is drawn there
MOVES = {"enqueue": 1, "release": 1, "reclaim": 1, "promote": 1, "claim": -1}  # of a queue's depth


def peak_of(attempts: Sequence[Attempt], *, after_s: float = SETTLED_S) -> float:
    """The highest rate, in attempts a second over a quarter of a second; 0 where there are none.

    Only of attempts that start at least `after_s` after the first one and that fail.
    """
    starts = sorted(_seconds(attempts, "failed"))
    starts = starts[bisect.bisect_left(starts, after_s) :]
    inside = (bisect.bisect_left(starts, at + STEP_S) - i for i, at in enumerate(starts))
    return max(inside, default=0) / STEP_S


@matplotlib.rc_context(STYLE)
def attempts_a_second(
    policies: Mapping[str, Sequence[Attempt]],
    outage_s: float,
    *,
    refused: Mapping[str, object] | None = None,
    peak: Mapping[str, object] | None = None,
    last_s: Mapping[str, object] | None = None,
    caption: str = "",
) -> Chart:
    """Attempts a second through an outage, a panel for each policy; all share their axes.

    The outage is `outage_s` seconds long from the first attempt on. Guesses, by policy: `refused`
    attempts in all (drawn as their mean rate), the `peak` in attempts a second as peak_of() gives
    it, and `last_s`, the seconds from the outage's end to the end of the last attempt.
    """
    size = (9.5, 1.3 + 1.35 * len(policies))
    chart, panels = _panels(size, len(policies), caption, same_y=True)
    for axes, (name, attempts) in zip(panels, policies.items(), strict=True):
        bars = [_bars(_seconds(attempts, kind), STEP_S) for kind in ("failed", "succeeded")]
        top = _stacked(axes, bars, ("failed", "succeeded"), STEP_S)
        out = axes.axvspan(0, outage_s, color=PALE, alpha=0.45, lw=0, zorder=0, label="outage")
        shown: list[Any] = [out, patch("failed"), patch("succeeded")] if axes is panels[0] else []
        failed = sum(a.outcome == "failed" for a in attempts)
        if (guess := guesses.asked(refused, name)) is not guesses.UNASKED:
            expected = guesses.number(guess)
            label = f"your guess: {expected:g} refused, measured: {failed}"
            shown.append(_level(axes, expected / outage_s, (0, outage_s), top, label))
        if (guess := guesses.asked(peak, name)) is not guesses.UNASKED:
            expected = guesses.number(guess)
            label = f"your guess: peak {expected:g} a second, measured: {peak_of(attempts):.0f}"
            shown.append(_level(axes, expected, (0, outage_s), top, label))
        if (guess := guesses.asked(last_s, name)) is not guesses.UNASKED:
            expected = guesses.number(guess)
            shown.append(_last(axes, expected, _end(attempts) - outage_s, outage_s))
        _head(axes, name, shown)
    panels[0].set_xlim(0, 1.02 * max(outage_s, *panels[0].get_xlim()))
    panels[-1].set_xlabel("seconds since the bank went down")
    panels[len(panels) // 2].set_ylabel("attempts a second")
    return chart


@matplotlib.rc_context(STYLE)
def burst(
    replies: Sequence[tuple[float, int]],
    events: Iterable[Event],
    limit: int,
    *,
    accepted: object = guesses.UNASKED,
    all_in_s: object = guesses.UNASKED,
    caption: str = "",
) -> Chart:
    """Replies above, each 0.1 s, and the depth of the queue below; both over the same seconds.

    `replies` are (time in ms, status): below 300 is accepted, anything else refused. Guesses:
    `accepted` in all, drawn as a depth since that is where they would wait, and `all_in_s`, the
    seconds from the first reply to the last accepted one.
    """
    if not replies:
        raise ValueError("there are no replies to draw: has anything been sent?")
    zero = min(at for at, _ in replies)
    chart, (above, below) = _panels((9.5, 4.6), 2, caption, same_y=False)
    taken = [(at - zero) / 1000 for at, status in replies if status < 300]
    refused = [(at - zero) / 1000 for at, status in replies if status >= 300]
    _stacked(above, [_bars(s, BURST_S) for s in (taken, refused)], ("succeeded", "failed"), BURST_S)
    shown: list[Any] = [patch("succeeded"), patch("failed")]
    for sign, word in zip(shown, ("accepted", "refused"), strict=True):
        sign.set_label(f"{word}: {len(taken if word == 'accepted' else refused)}")
    if all_in_s is not guesses.UNASKED:
        since_s = guesses.number(all_in_s)
        shown.append(_last(above, since_s, max(taken, default=0.0), 0.0, "all in after"))
    _head(above, "replies", shown)
    above.set_ylabel("replies a second")
    lines = [_deep(below, _depth(events, zero), limit)]
    if accepted is not guesses.UNASKED:
        expected = guesses.count(accepted)
        label = f"your guess: {expected} accepted, measured: {len(taken)}"
        across = (0, max(above.get_xlim()[1], 0.5))
        lines.append(_level(below, expected, across, len(replies), label))
    _head(below, "queue", lines)
    below.set_xlim(left=0)
    below.set(xlabel="seconds since the first reply", ylabel="waiting tasks", ylim=(0, None))
    return chart


def _panels(
    size: tuple[float, float], rows: int, caption: str, *, same_y: bool
) -> tuple[Chart, list[Axes]]:
    """Panels below each other that share the axis of time."""
    chart, (only,) = chart_of(size, 1, caption)
    only.remove()
    grid = chart.subplots(rows, 1, squeeze=False, sharex=True, sharey=same_y)
    return chart, [axes for (axes,) in grid]


def _seconds(attempts: Sequence[Attempt], outcome: str) -> list[float]:
    """Starts of the attempts that ended so, in seconds since the first start of all."""
    zero = min((a.start_ms for a in attempts), default=0.0)
    return [(a.start_ms - zero) / 1000 for a in attempts if a.outcome == outcome]


def _end(attempts: Sequence[Attempt]) -> float:
    zero = min((a.start_ms for a in attempts), default=0.0)
    return max(((a.end_ms - zero) / 1000 for a in attempts), default=0.0)


def _bars(seconds: Iterable[float], step_s: float) -> dict[int, float]:
    """Rates by number of the step."""
    return {n: count / step_s for n, count in Counter(int(s // step_s) for s in seconds).items()}


def _stacked(
    axes: Axes, rates: Sequence[Mapping[int, float]], kinds: Sequence[str], step_s: float
) -> float:
    """Bars on top of each other, in the looks of these outcomes; gives the highest top."""
    floor: dict[int, float] = {}
    for bars, kind in zip(rates, kinds, strict=True):
        colour, hatch = LOOKS[kind]
        looks: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": INK}
        steps = sorted(bars)
        axes.bar(
            [n * step_s for n in steps],
            [bars[n] for n in steps],
            bottom=[floor.get(n, 0.0) for n in steps],
            width=step_s,
            align="edge",
            linewidth=0.5,
            **looks,
        )
        floor = {n: floor.get(n, 0.0) + bars.get(n, 0.0) for n in {*floor, *bars}}
    return max(floor.values(), default=1.0)


def _level(axes: Axes, guess: float, span: tuple[float, float], top: float, label: str) -> Any:
    """A guess as a level; one far above everything is drawn at the edge."""
    drawn = min(guess, EDGE * top)
    (line,) = axes.plot(span, [drawn] * 2, label=label + far(drawn, guess), zorder=6, **GUESS)
    if drawn < LOW * top:  # near the axis, where a dashed line is not seen
        arrow = {"arrowstyle": "-|>", "color": PURPLE, "linewidth": 2}
        paper = {"facecolor": PAPER, "edgecolor": PURPLE, "pad": 2}
        at, above = (span[0] + 0.12 * (span[1] - span[0]), drawn), (0, 24)
        looks: dict[str, Any] = {"ha": "center", "fontsize": 9, "zorder": 7}
        axes.annotate("your guess", at, above, textcoords="offset points", arrowprops=arrow,
                      bbox=paper, **looks)  # fmt: skip
    return line


def _last(
    axes: Axes, guess: float, measured: float, since: float, words: str = "last paid after"
) -> Any:
    """A guess as a moment, `since` being the zero of guess and measurement."""
    at = since + guess
    drawn = min(at, since + EDGE * max(measured, 1.0))
    label = f"your guess: {words} {guess:.1f} s, measured: {measured:.1f} s{far(drawn, at)}"
    return axes.axvline(drawn, label=label, zorder=6, **GUESS)


def _head(axes: Axes, name: str, shown: Sequence[Any]) -> None:
    """The panel's name on the left, its signs on the right, above it."""
    axes.set_title(name, loc="left", fontweight="bold", fontsize=10)
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 0.97)}
    if shown:
        axes.legend(handles=list(shown), ncols=len(shown), borderaxespad=0.1, **place)


def _depth(events: Iterable[Event], zero: float) -> tuple[list[float], list[int]]:
    """Seconds and waiting tasks after each event; events before `zero` count, at their time."""
    times, depths, waiting = [0.0], [0], 0
    for event in events:
        back = event.verb in ("fail", "postpone")  # tried again: not at once in the list
        waiting += 0 if back else MOVES.get(event.verb, 0) * len(event.tasks)
        times.append((event.at_ms - zero) / 1000)
        depths.append(waiting)
    return times, depths


def _deep(axes: Axes, depth: tuple[list[float], list[int]], limit: int) -> Any:
    times, depths = depth
    axes.step(times, depths, where="post", color=BLUE, linewidth=1.8)
    axes.fill_between(times, depths, step="post", color=BLUE, alpha=0.15, linewidth=0)
    return axes.axhline(limit, color=GREY, linewidth=1.2, linestyle=":", label=f"limit: {limit}")
