"""Throughput against workers, and the laws that one lays over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from miniqueue.classroom import guesses
from miniqueue.classroom.charts.style import (
    BLUE,
    GREEN,
    GREY,
    GUESS,
    INK,
    PAPER,
    STYLE,
    VERMILLION,
    Chart,
    chart_of,
    far,
)
from miniqueue.classroom.measure import Fit

__all__ = ["throughput"]

Rates = Mapping[int, tuple[float, float, float]]  # workers: median, lowest, highest
LAWS = {"Amdahl": (BLUE, "-", ""), "USL": (VERMILLION, "-.", "////")}


@matplotlib.rc_context(STYLE)
def throughput(
    series: Mapping[str, Rates],
    *,
    fits: Mapping[str, Sequence[Fit]] | None = None,
    guess: Mapping[str, object] | None = None,
    title: str = "",
    caption: str = "",
) -> Chart:
    """Tasks a second against workers, a panel for each workload; the ideal line is at one angle.

    `series` has {workers: (median, lowest, highest)} for each workload, as measure.medians() gives;
    `guess` how many times the rate of the fewest workers the learner expects of the most.
    """
    rows = 4.3 + 0.2 * (3 + max((len(fit) for fit in (fits or {}).values()), default=0))
    chart, panels = chart_of((max(7.0, 4.1 * len(series)), rows), len(series), caption, title)
    for axes, (name, rates) in zip(panels, series.items(), strict=True):
        _ideal(axes, rates, name)
        for fit in (fits or {}).get(name, ()):
            _law(axes, fit, max(rates))
        _points(axes, rates)
        if (expected := guesses.asked(guess, name)) is not guesses.UNASKED:
            _guessed_gain(axes, rates, guesses.number(expected))
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, handlelength=2.6)
    panels[0].set_ylabel("tasks a second")
    return chart


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
    drawn = min(guess, 2 * axes.get_ylim()[1] / base)  # 1000 times must not flatten the rest
    label = f"your guess: {guess:g}x, measured: {rates[most][0] / base:.1f}x{far(drawn, guess)}"
    axes.plot([few, most], [base, base * drawn], marker="D", mfc=PAPER, label=label, **GUESS)
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.1 * base * drawn))
