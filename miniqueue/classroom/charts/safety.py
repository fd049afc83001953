"""What a crash does to tasks and to their effects: leases, states through it, charges at a bank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from miniqueue.classroom import guesses
from miniqueue.classroom.charts.style import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    GUESS,
    INK,
    LOOKS,
    PAPER,
    STYLE,
    VERMILLION,
    Chart,
    chart_of,
    far,
    mark,
    patch,
)
from miniqueue.views import Event

__all__ = ["charges", "history_of", "lease_left", "state_history", "wrong_charges"]

AFTER = {  # the state of a task after a verb whose events do not say it
    "enqueue": "queued",
    "claim": "running",
    "complete": "succeeded",
    "release": "queued",
    "promote": "queued",
    "reclaim": "queued",
    "retry": "queued",
    "postpone": "scheduled",
    "cancel": "cancelled",
    "fail": "failed",
}
ENDED = ("succeeded", "failed", "cancelled")
STACKED = (*ENDED, "running", "scheduled", "queued")  # from the bottom: what is done rises
WRONG = {  # of charges: colour and hatch
    "double": (VERMILLION, "++"),
    "missing": (PAPER, "xxx"),
}


# -- states ----------------------------------------------------------------------------------------


def history_of(
    events: Iterable[Event], tasks: Collection[str] | None = None
) -> list[tuple[int, dict[str, int]]]:
    """How many tasks were in which state after each event that moved one; times in ms. Pure.

    With `tasks`, only those of these ids are counted.

    >>> from miniqueue.views import Event, Mark
    >>> sent = Event("1-0", 1000, "enqueue", (Mark("a", 0), Mark("b", 0)))
    >>> claim = Event("2-0", 1005, "claim", (Mark("a", 1),), "w0")
    >>> history_of([sent, claim])
    [(1000, {'queued': 2}), (1005, {'running': 1, 'queued': 1})]
    """
    wanted = None if tasks is None else set(tasks)
    state_of: dict[str, str] = {}
    history = []
    for event in events:
        state = event.state or AFTER.get(event.verb, "")
        ids = [m.task_id for m in event.tasks if wanted is None or m.task_id in wanted]
        if state and ids:
            state_of.update(dict.fromkeys(ids, state))
            history.append((event.at_ms, dict(Counter(state_of.values()))))
    return history


@matplotlib.rc_context(STYLE)
def state_history(
    events: Iterable[Event],
    tasks: Collection[str] | None = None,
    *,
    guess: object = guesses.UNASKED,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """Tasks by state over time, stacked, with what is done at the bottom; events as a stack gives.

    Signs below the top show when leases had run out and tasks were taken back; `marks` are other
    moments, by name, in ms. `guess` is how many tasks the learner expects to succeed in the end.
    """
    events = list(events)
    if not (history := history_of(events, tasks)):
        raise ValueError("there are no states to draw: has any task been sent?")
    zero, end = history[0][0], history[-1][0]
    total, last = sum(history[-1][1].values()), history[-1][1]
    chart, (axes,) = chart_of((10.0, 4.4), 1, caption)
    span = max(1.03 * (end - zero) / 1000, 0.1)
    shown = _stacked(axes, history, zero, span)
    taken_back = _taken_back(events, tasks)
    at = [(ms - zero) / 1000 for ms in taken_back]
    looks: dict[str, Any] = {"color": INK, "mfc": VERMILLION, "ms": 9, "linestyle": "none"}
    shown += axes.plot(at, [total] * len(at), "v", label="lease ends, taken back", **looks)
    mark(axes, marks, zero, 1.07 * total)
    lost = total - sum(last.get(state, 0) for state in ENDED)
    box = {"facecolor": PAPER, "edgecolor": INK, "boxstyle": "round,pad=0.4"}
    words: dict[str, Any] = {"fontsize": 13, "weight": "bold", "ha": "right", "va": "center"}
    axes.text(0.985 * span, 0.12 * total, f"lost = {lost}", bbox=box, **words)
    if guess is not guesses.UNASKED:
        expected, done = guesses.count(guess, total), last.get("succeeded", 0)
        shown.append(_guessed_height(axes, expected, done, (1.12 * total, "succeed")))
        axes.axhline(shown[-1].get_ydata()[0], color=PAPER, linewidth=4.5, zorder=5.5)
    axes.set(xlim=(0, span), ylim=(0, 1.14 * total), ylabel="tasks")
    axes.set_xlabel("seconds since the first was sent")
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.14), "ncols": 5}
    axes.legend(handles=shown, borderaxespad=0, handlelength=2.4, **place)
    return chart


def _stacked(
    axes: Axes, history: Sequence[tuple[int, Mapping[str, int]]], zero: float, span: float
) -> list[Any]:
    """Draw the steps; gives their signs for the legend."""
    x = [*((at - zero) / 1000 for at, _ in history), span]
    floor, shown = [0] * len(x), []
    for state in STACKED:
        counts = [row.get(state, 0) for _, row in history]
        if any(counts):
            top = [f + c for f, c in zip(floor, [*counts, counts[-1]], strict=True)]
            colour, hatch = LOOKS[state]
            looks: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": INK}
            axes.fill_between(x, floor, top, step="post", linewidth=0.4, **looks)
            floor = top
            shown.append(patch(state))
    return shown


def _taken_back(events: Iterable[Event], tasks: Collection[str] | None) -> list[int]:
    wanted = None if tasks is None else set(tasks)
    found = (event for event in events if event.verb == "reclaim")
    return [e.at_ms for e in found if wanted is None or {m.task_id for m in e.tasks} & wanted]


# -- leases ----------------------------------------------------------------------------------------


@matplotlib.rc_context(STYLE)
def lease_left(
    samples: Sequence[tuple[float, float]],
    lease_s: float,
    *,
    guess: object = guesses.UNASKED,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """How many seconds of a lease are left, over time: a saw while it is renewed, then a slope.

    `samples` are (time in ms, seconds left), `marks` moments to point out, by name, in ms. `guess`
    is the fewest seconds that the learner expects to be left before the first of them.
    """
    if not samples:
        raise ValueError("there is no lease to draw: was a task running?")
    zero, end = samples[0][0], samples[-1][0]
    first = min([end, *(marks or {}).values()])
    chart, (axes,) = chart_of((9.5, 3.9), 1, caption)
    x, y = [(at - zero) / 1000 for at, _ in samples], [left for _, left in samples]
    axes.plot(x, y, color=BLUE, linewidth=2, label="left of the lease")
    axes.fill_between(x, 0, y, where=[v > 0 for v in y], color=BLUE, alpha=0.12, linewidth=0)
    label = f"a whole lease: {lease_s:g} s"
    axes.axhline(lease_s, color=GREY, linewidth=1, linestyle=":", label=label)
    axes.axhline(0, color=INK, linewidth=1)
    mark(axes, marks, zero, 1.22 * lease_s)
    if guess is not guesses.UNASKED:
        expected = guesses.number(guess, -guesses.MOST)
        lowest = min(left for at, left in samples if at <= max(first, zero))
        level = min(max(expected, -0.1 * lease_s), 1.15 * lease_s)
        label = f"your guess: at least {expected:g} s left, measured: {lowest:.1f} s"
        axes.axhline(level, label=label + far(level, expected), **GUESS)
    axes.set(xlabel="seconds", ylabel="seconds left", xlim=(0, max(x[-1], 0.1)))
    axes.set_ylim(min(-0.15 * lease_s, *y), 1.34 * lease_s)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=3, borderaxespad=0)
    return chart


# -- charges ---------------------------------------------------------------------------------------


@matplotlib.rc_context(STYLE)
def charges(
    booked: Sequence[tuple[float, Any]],
    orders: int,
    *,
    guess: object = guesses.UNASKED,
    marks: Mapping[str, float] | None = None,
    caption: str = "",
) -> Chart:
    """Charges at the bank over time, beside the number of orders; each second charge is crossed.

    `booked` are (time in ms, order), a pair for each charge. `guess` is how many charges the
    learner expects in the end; `marks` are moments to point out, by name, in ms.
    """
    if not booked:
        raise ValueError("there are no charges to draw: has any order been charged?")
    booked = sorted(booked, key=lambda pair: pair[0])
    zero = min([booked[0][0], *(marks or {}).values()])
    x = [(at - zero) / 1000 for at, _ in booked]
    chart, (axes,) = chart_of((9.0, 4.2), 1, caption)
    last = max([booked[-1][0], *(marks or {}).values()])
    edge = 1.1 * max((last - zero) / 1000, 0.1)
    top = max(orders, len(booked))
    axes.step([0, *x, edge], [*range(len(x) + 1), len(x)], where="post", color=BLUE, linewidth=2)
    axes.axhline(orders, color=GREY, linewidth=1.2, label=f"orders: {orders}")
    _crossed(axes, booked, x)
    mark(axes, marks, zero, 1.14 * top)
    handles = axes.get_legend_handles_labels()[0]
    if guess is not guesses.UNASKED:
        expected = guesses.count(guess)
        handles.append(_guessed_height(axes, expected, len(booked), (1.08 * top, "charges")))
    axes.set(xlim=(-0.03 * edge, edge), ylim=(0, 1.22 * top))
    axes.set(xlabel="seconds", ylabel="charges so far")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.15), "ncols": 2}
    axes.legend(handles=handles, borderaxespad=0, **place)
    return chart


def _crossed(axes: Axes, booked: Sequence[tuple[float, Any]], x: Sequence[float]) -> None:
    """A dot for the first charge of an order, a cross for every further one."""
    seen: set[Any] = set()
    first: list[tuple[float, int]] = []
    again: list[tuple[float, int]] = []
    beside: dict[str, Any] = {"xytext": (-12, 8), "textcoords": "offset points", "ha": "right"}
    for count, ((_, order), at) in enumerate(zip(booked, x, strict=True), 1):
        (again if order in seen else first).append((at, count))
        if order in seen:
            axes.annotate(f"{order}, again", (at, count), color=VERMILLION, weight="bold", **beside)
        seen.add(order)
    looks: dict[str, Any] = {"linestyle": "none", "zorder": 7}
    for points, sign, colour, label in (
        (first, "o", GREEN, "an order is charged"),
        (again, "X", VERMILLION, "the same order is charged again"),
    ):
        if points:
            size = 6 if sign == "o" else 12
            axes.plot(
                *zip(*points, strict=True), sign, ms=size, mfc=colour, mec=INK, label=label, **looks
            )


@matplotlib.rc_context(STYLE)
def wrong_charges(
    found: Mapping[str, Mapping[float, Mapping[str, int]]],
    orders: int,
    *,
    guess: Mapping[str, Mapping[float, object]] | None = None,
    stood_s: float | None = None,
    caption: str = "",
) -> Chart:
    """Wrong charges of so many orders against the length of the lease, a panel a guarantee.

    `found` has {guarantee: {lease in s: {"double": n, "missing": n}}}, `guess` the learner's number
    of wrong charges for some of them. `stood_s` is how long the workers stood still.
    """
    chart, panels = chart_of((3.6 * max(2, len(found)), 4.3), len(found), caption)
    for axes, (name, by_lease) in zip(panels, found.items(), strict=True):
        leases = sorted(by_lease)
        for place, lease in enumerate(leases):
            _wrong_bar(axes, place, by_lease[lease], orders)
        for lease, expected in (guess or {}).get(name, {}).items():
            height = guesses.count(expected, orders)
            if lease in by_lease:
                _guessed_bar(axes, leases.index(lease), height, by_lease[lease])
        if stood_s is not None:
            between = sum(lease <= stood_s for lease in leases) - 0.5
            axes.axvline(between, color=GREY, linestyle=":", linewidth=1.4)
            words: dict[str, Any] = {"ha": "center", "va": "center", "backgroundcolor": PAPER}
            axes.text(between, 1.08 * orders, f"stood still\nfor {stood_s:g} s", **words)
        axes.set(title=name, xlabel="lease in seconds", ylim=(0, 1.2 * orders))
        axes.set_xticks(range(len(leases)), [f"{lease:g}" for lease in leases])
        axes.set_xlim(-0.6, len(leases) - 0.4)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        handles: list[Any] = [*_signs(), *axes.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0)
    panels[0].set_ylabel(f"wrong charges, of {orders} orders")
    return chart


def _wrong_bar(axes: Axes, place: int, counts: Mapping[str, int], orders: int) -> None:
    floor = 0
    for kind, (colour, hatch) in WRONG.items():
        if (count := counts.get(kind, 0)) > 0:
            looks: dict[str, Any] = {"facecolor": colour, "edgecolor": INK, "hatch": hatch}
            axes.bar(place, count, bottom=floor, width=0.62, linewidth=0.8, **looks)
            floor += count
    axes.text(place, floor + 0.02 * orders, f"{floor}", ha="center", weight="bold")


def _guessed_bar(axes: Axes, place: int, guess: int, counts: Mapping[str, int]) -> None:
    axes.bar(place, guess, width=0.82, linewidth=2.2, zorder=4, **DASHED)
    real = sum(counts.get(kind, 0) for kind in WRONG)
    axes.plot([], [], label=f"your guess: {guess}, measured: {real}", **GUESS)


def _signs() -> list[Patch]:
    looks: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.8}
    return [
        Patch(facecolor=colour, hatch=hatch, label=kind, **looks)
        for kind, (colour, hatch) in WRONG.items()
    ]


# -- guesses ---------------------------------------------------------------------------------------


def _guessed_height(axes: Axes, guess: int, real: int, edge_and_what: tuple[float, str]) -> Line2D:
    """A dashed level, at the edge where it is out of sight."""
    edge, what = edge_and_what
    at = min(guess, edge)
    label = f"your guess: {guess} {what}, measured: {real}{far(at, guess)}"
    return axes.axhline(at, label=label, zorder=6, **GUESS)
