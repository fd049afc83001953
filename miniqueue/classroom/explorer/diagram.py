"""Diagram: a schedule as a sequence diagram. Time runs down; a line for each thread, one for Redis.

Black and white say all of it: arrows are commands, a cross is a crash, a dashed line is the clock.
Moments are told as t+SECONDS, t being the start of the exploration.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from miniqueue.classroom.charts.style import GREY, INK, PAPER, STYLE, VERMILLION, Chart
from miniqueue.classroom.explorer.clock import START_MS
from miniqueue.classroom.explorer.failure import Failure, Step

__all__ = ["draw"]

WIDE, ROW = 2.5, 0.42  # inches: between two lines, between two steps
MOST = 34  # characters of a command over its arrow
SECOND = START_MS // 1000
PAIR = re.compile(r"\['(\d{10})', '(\d+)'\]")  # what TIME gives: seconds, microseconds
MOMENT = re.compile(r"(?<![\d.])(?:(\d{13})|(\d{10}(?:\.\d+)?))(?![\d.])")
LINE: dict[str, Any] = {"color": GREY, "linewidth": 1.2}
BOX: dict[str, Any] = {"boxstyle": "round,pad=0.35", "fc": PAPER, "ec": INK, "lw": 1.2}


@matplotlib.rc_context(STYLE)
def draw(failure: Failure) -> Chart:
    """The picture of a failure."""
    steps = _gathered(failure.steps)
    names = list(dict.fromkeys(step.who for step, _ in steps if step.kind != "clock"))
    lines = [*names, "Redis"]
    height = 1.9 + ROW * len(steps)
    chart = Chart(figsize=(max(6.0, WIDE * len(lines)), height), layout="constrained")
    chart.caption = f"{failure.scenario}: {failure.invariant} is broken. {failure.wrong}."
    axes = chart.add_subplot()
    axes.set(xlim=(-0.6, len(lines) - 0.4), ylim=(len(steps) + 1.0, -1.0))
    axes.axis("off")
    axes.set_title(f"{failure.scenario}: {failure.invariant} is broken", loc="left", weight="bold")
    for place, name in enumerate(lines):
        _life(axes, place, name, steps)
    for row, (step, times) in enumerate(steps):
        _draw_step(axes, row, step, lines, times)
    words = textwrap.fill(f"But {failure.wrong}.", 34 * len(lines))
    looks = {**BOX, "ec": VERMILLION, "lw": 2.0}
    middle = (len(lines) - 1) / 2
    axes.text(middle, len(steps) + 0.35, words, ha="center", va="center", weight="bold", bbox=looks)
    return chart


def _gathered(steps: tuple[Step, ...]) -> list[tuple[Step, int]]:
    """Equal steps that follow each other as one, with their number."""
    found: list[tuple[Step, int]] = []
    for step in steps:
        if found and (found[-1][0].who, found[-1][0].told) == (step.who, step.told):
            found[-1] = (step, found[-1][1] + 1)
        else:
            found.append((step, 1))
    return found


def _life(axes: Axes, place: int, name: str, steps: list[tuple[Step, int]]) -> None:
    """A line from the first step of a thread to its last; of the process that crashed to there."""
    mine = [row for row, (step, _) in enumerate(steps) if step.who == name]
    process = name.split(" ")[0]
    crash = [row for row, (s, _) in enumerate(steps) if s.kind == "crash" and s.who == process]
    first = mine[0] - 0.5 if mine and steps[mine[0]][0].in_recovery else -0.5
    end = crash[0] if crash else len(steps) - 0.4
    axes.plot([place, place], [first, end], zorder=1, **LINE)
    axes.text(place, first - 0.1, name, ha="center", va="bottom", weight="bold", bbox=BOX)


def _draw_step(axes: Axes, row: int, step: Step, lines: list[str], times: int) -> None:
    if step.kind == "clock" or (step.kind == "deadlines"):
        axes.plot([-0.55, len(lines) - 0.45], [row, row], color=INK, linewidth=1, dashes=(5, 3))
        said = f"{step.who} {step.what}" if step.kind == "clock" else step.what
        _words(axes, (len(lines) - 1) / 2, row, said, style="italic")
        return
    place, redis = lines.index(step.who), len(lines) - 1
    if step.kind == "crash":
        axes.plot(place, row, "X", color=VERMILLION, markeredgecolor=INK, markersize=14, zorder=4)
        axes.text(place + 0.13, row, "crashes", va="center", weight="bold")
    elif step.kind == "call":
        _arrow(axes, (place, redis), row, step, times)
    else:
        axes.text(place, row, _short(step.what), ha="center", va="center", zorder=4,
                  bbox={**BOX, "fc": "#eeeeee"})  # fmt: skip


def _arrow(axes: Axes, ends: tuple[int, int], row: int, step: Step, times: int) -> None:
    """From the thread to Redis; the command stands over it, the reply under it."""
    place, redis = ends
    looks = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (redis, row), (place, row), arrowprops=looks, zorder=3)
    axes.plot(place, row, "o", color=INK, markersize=5, zorder=4)
    said = _short(step.what) + (f"  ({times} times)" if times > 1 else "")
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
    middle = redis - 0.5
    axes.text(middle, row - 0.13, said, ha="center", va="bottom", fontsize=9, bbox=paper, zorder=2)
    if step.reply:
        axes.text(redis + 0.06, row, _short(step.reply, 22), va="center", fontsize=9, zorder=4)


def _words(axes: Axes, x: float, y: float, said: str, **looks: Any) -> None:
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 2}
    axes.text(x, y, said, ha="center", va="center", fontsize=9, bbox=paper, zorder=5, **looks)


def _short(text: str, most: int = MOST) -> str:
    text = MOMENT.sub(_moment, PAIR.sub(_pair, text))
    return text if len(text) <= most else text[: most - 1] + "…"


def _pair(match: re.Match[str]) -> str:
    return f"t+{int(match[1]) - SECOND + int(match[2]) / 1e6:g}"


def _moment(match: re.Match[str]) -> str:
    """A number that is a moment of the exploration, in ms or in seconds; any other one as it is."""
    after_s = int(match[1]) / 1000 - SECOND if match[1] else float(match[2]) - SECOND
    return f"t+{round(after_s, 3):g}" if abs(after_s) < 1e6 else match[0]
