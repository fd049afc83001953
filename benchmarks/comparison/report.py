"""How the comparison is told: up to three tables, sentences on who is ahead, a page, a picture.

A cell is the median, how many times better miniqueue is (below 1: the peer is better), and the
lowest and the highest of the rounds. Where a peer is better it is marked, and said in words.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from rich import box
from rich.table import Table

from comparison.contenders import Contender
from comparison.measures import FIGURES, applies

__all__ = ["Row", "draw", "parts", "remarks", "terminal_table", "told_of", "write_markdown"]

OURS = "miniqueue"
PARTS = {
    "Speed": ("enqueue", "bulk", "drain_1", "drain_2", "p50_ms", "p99_ms"),
    "What a task costs": (
        *("bytes_queued", "bytes_finished", "commands", "trips", "redis_us", "worker_us"),
    ),
    "What a worker costs": ("startup_s", "idle_cpu_s", "rss_mb"),
}
PANELS = ("drain_1", "drain_2", "enqueue", "p50_ms")
COLOURS = {
    "miniqueue": "#d1495b",
    "at least once, results": "#30638e",
    "promises less": "#a3bfd9",
    "bare Redis, by hand": "#c8c8c8",
}


@dataclass
class Row:
    """A contender's rounds; `problems` says by measure why it gave up."""

    contender: Contender
    version: str = "?"
    tasks: int = 0
    rounds: list[dict[str, float]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def title(self) -> str:
        return self.name if self.contender.is_limit else f"{self.name} {self.version}"

    def values(self, figure: str) -> list[float]:
        return [one[figure] for one in self.rounds if figure in one]

    def median(self, figure: str) -> float | None:
        values = self.values(figure)
        return statistics.median(values) if values else None


def told_of(row: Row) -> dict[str, Any]:
    contender = row.contender
    return {
        "name": row.name,
        "version": row.version,
        "setting": contender.what,
        "requires": contender.requires,
        "delivery": contender.delivery,
        "results": contender.results,
        "bulk": contender.bulk,
        "tasks": row.tasks,
        "figures": {n: harness.middle(row.values(n)) for n in FIGURES if row.values(n)},
        "rounds": row.rounds,
        "problems": row.problems,
    }


def parts(columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The columns in tables of a page's width."""
    split = [(title, [n for n in names if n in columns]) for title, names in PARTS.items()]
    return [(title, names) for title, names in split if names]


def having(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """The rows that have, or should have, a figure in these columns."""
    wanted = {FIGURES[name].measure for name in columns}
    return [row for row in rows if any(applies(row.contender, one) for one in wanted)]


def gain(rows: Sequence[Row], row: Row, figure: str) -> float | None:
    """How many times better miniqueue is: above 1 it is ahead. None where that says nothing."""
    ours = next((r.median(figure) for r in rows if r.name == OURS), None)
    theirs = row.median(figure)
    if not ours or not theirs or row.name == OURS:
        return None
    return theirs / ours if FIGURES[figure].less else ours / theirs


def number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}"


def times_better(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def missing(row: Row, figure: str) -> str:
    """What stands where there is no figure."""
    measure = FIGURES[figure].measure
    if not applies(row.contender, measure):
        return "-"
    return "gave up" if row.rounds else "not here"


def terminal_table(rows: Sequence[Row], columns: Sequence[str], title: str) -> Table:
    shown = Table(
        title=f"{title} (Nx: miniqueue is N times better)",
        title_justify="left",
        box=box.MINIMAL,
        padding=0,
        show_lines=True,
    )
    shown.add_column("peer, promise", no_wrap=True)
    for name in columns:
        shown.add_column(FIGURES[name].title, justify="right")
    for row in having(rows, columns):
        cells = [terminal_cell(rows, row, name) for name in columns]
        style = "bold" if row.name == OURS else ""
        shown.add_row(f"{row.title}\n[dim]{row.contender.promise}", *cells, style=style)
    return shown


def terminal_cell(rows: Sequence[Row], row: Row, figure: str) -> str:
    values = row.values(figure)
    if not values:
        return missing(row, figure)
    text = number(statistics.median(values))
    if (ratio := gain(rows, row, figure)) is not None:
        style = "yellow" if ratio < 1 else "green"
        text += f" [{style}]{times_better(ratio)}[/]"
    if len(values) > 1:
        text += f"\n[dim]{number(min(values))} to {number(max(values))}"
    return text


def remarks(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Who gave up and why, and where a peer is ahead of miniqueue."""
    said = []
    for row in rows:
        by_reason: dict[str, list[str]] = {}
        for measure, reason in row.problems.items():
            by_reason.setdefault(reason, []).append(measure)
        said += [f"{row.name}, {', '.join(which)}: {why}" for why, which in by_reason.items()]
    for name in columns:
        ahead = {
            row.name: ratio
            for row in rows
            if not row.contender.is_limit
            and (ratio := gain(rows, row, name)) is not None
            and ratio < 1
        }
        if ahead:
            who = ", ".join(f"{peer} ({1 / ratio:.2g}x)" for peer, ratio in ahead.items())
            said.append(f"Better than miniqueue at {FIGURES[name].title}: {who}.")
    return said


def write_markdown(rows: Sequence[Row], columns: Sequence[str], out: Path) -> Path:
    """The tables as a page of the documentation shows them."""
    lines = ["Nx: miniqueue is N times better. Bold: the peer is better.", ""]
    for _, names in parts(columns):
        heads = [FIGURES[name].title for name in names]
        lines.append(f"| peer, setting | promise | {' | '.join(heads)} |")
        lines.append("|---|---|" + "---|" * len(heads))
        for row in having(rows, names):
            cells = [markdown_cell(rows, row, name) for name in names]
            contender = row.contender
            who = f"{row.title}, {contender.what}"
            lines.append(f"| {who} | {contender.promise} | {' | '.join(cells)} |")
        lines.append("")
    lines += [f"- {line}" for line in remarks(rows, columns)]
    path = out / "peers.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


def markdown_cell(rows: Sequence[Row], row: Row, figure: str) -> str:
    values = row.values(figure)
    if not values:
        return missing(row, figure)
    text = number(statistics.median(values))
    if len(values) > 1:
        text += f" ({number(min(values))} to {number(max(values))})"
    if figure == "bulk" and row.name != OURS:
        text += f" {row.contender.bulk}"
    ratio = gain(rows, row, figure)
    if ratio is None:
        return text
    text += f", {times_better(ratio)}"
    return f"**{text}**" if ratio < 1 else text


def draw(rows: Sequence[Row], out: Path) -> Path | None:
    """Bars, a panel a figure; the colour says what is promised. None where no panel is measured."""
    panels = [name for name in PANELS if any(row.values(name) for row in rows)]
    if not panels:
        return None
    height = 1.9 + 0.42 * len(rows)
    figure = Figure(figsize=(4 + 3.2 * len(panels), height))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], panels, strict=True):
        draw_panel(axis, rows, name)
    axes[0][0].set_yticks(range(len(rows)), [label(row) for row in rows], fontsize=8)
    for row, text in zip(rows, axes[0][0].get_yticklabels(), strict=True):
        text.set_fontweight("bold" if row.name == OURS else "normal")
    axes[0][0].set_ylim(len(rows) - 0.4, -0.6)
    drawn = {colour(row) for row in rows}
    kinds = {kind: Patch(color=shade) for kind, shade in COLOURS.items() if shade in drawn}
    figure.legend(kinds.values(), kinds, loc="lower center", ncols=len(kinds), frameon=False)
    figure.suptitle("No-op tasks on one Redis: median of the rounds, lowest to highest")
    figure.tight_layout(rect=(0, 0.35 / height, 1, 1))
    return harness.picture(figure, out, "peers")


def colour(row: Row) -> str:
    contender = row.contender
    if row.name == OURS:
        return COLOURS["miniqueue"]
    if contender.is_limit:
        return COLOURS["bare Redis, by hand"]
    full = contender.promise == "at least once, results"
    return COLOURS["at least once, results" if full else "promises less"]


def label(row: Row) -> str:
    contender = row.contender
    return f"{row.title}, {contender.what}\n{contender.promise}"


def draw_panel(axis: Any, rows: Sequence[Row], name: str) -> None:
    better = "less" if FIGURES[name].less else "more"
    axis.set_title(f"{FIGURES[name].title}: {better} is better", fontsize=9)
    most = max(max(row.values(name), default=0.0) for row in rows)
    for place, row in enumerate(rows):
        values = row.values(name)
        if not values:
            axis.text(most * 0.01, place, missing(row, name), va="center", fontsize=8, color="grey")
            continue
        middle = statistics.median(values)
        spread = [[middle - min(values)], [max(values) - middle]]
        axis.barh(place, middle, color=colour(row), xerr=spread if len(values) > 1 else None)
        edge = max(values) + most * 0.02
        axis.text(edge, place, number(middle), va="center", fontsize=8)
    axis.set_xlim(0, most * 1.2)
    axis.tick_params(axis="x", labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
