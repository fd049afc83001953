"""Report: what the checks of a lab found, for a notebook, a terminal and a gradebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

__all__ = ["Report", "Result"]


@dataclass(frozen=True)
class Result:
    """One check: its points, and where it failed what should be, what was seen, and of which task
    in which moments."""

    name: str
    sentence: str
    points: int
    most: int
    hint: str
    expected: str = ""
    seen: str = ""
    task: str = ""
    timeline: Sequence[str] = ()
    waits: Sequence[str] = ()  # checks that failed and come first

    @property
    def passed(self) -> bool:
        return not self.seen and not self.waits

    def lines(self) -> list[str]:
        """What went wrong, a line each; nothing where nothing did."""
        if self.passed:
            return []
        if self.waits:
            return [f"not judged yet: first {', '.join(self.waits)}"]
        found = [f"expected: {self.expected}", f"seen: {self.seen}"]
        if self.task:
            found.append(f"task: {self.task}")
        found += [f"  {line}" for line in self.timeline]
        return [*found, f"hint: {self.hint}"]


@dataclass(frozen=True)
class Report:
    """All results of a lab. `problem` says why nothing could be judged."""

    number: str
    title: str
    results: Sequence[Result] = field(default_factory=list)
    problem: str = ""

    @property
    def points(self) -> int:
        return sum(result.points for result in self.results)

    @property
    def most(self) -> int:
        return sum(result.most for result in self.results)

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed, without those that wait for another one."""
        return [result.name for result in self.results if result.seen]

    def __bool__(self) -> bool:
        return bool(self.results) and all(result.passed for result in self.results)

    @property
    def head(self) -> str:
        """One line."""
        title = f"Lab {self.number} · {self.title}"
        if self.problem:
            return f"{title}: {self.problem}"
        return f"{title}: {self.points} of {self.most} points"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "points": self.points, "most": self.most}

    def __str__(self) -> str:
        lines = [self.head]
        for result in self.results:
            mark = "yes" if result.passed else "no "
            lines.append(
                f"  {mark}  {result.points}/{result.most}  {result.name}: {result.sentence}"
            )
            lines += [f"            {line}" for line in result.lines()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for result in self.results:
            mark = "✓" if result.passed else "✗"
            why = "".join(f"<br><code>{escape(line)}</code>" for line in result.lines())
            rows.append(
                f"<tr><td>{mark}</td><td>{result.points}/{result.most}</td>"
                f"<td style='text-align:left'><b>{escape(result.name)}</b>: "
                f"{escape(result.sentence)}{why}</td></tr>"
            )
        return f"<b>{escape(self.head)}</b><table>{''.join(rows)}</table>"
