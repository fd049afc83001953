"""Lab: what is asked of an answer, and the checks that it is put to."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miniqueue.classroom.cells import run_as_module

__all__ = ["Answer", "Busy", "Check", "Conflict", "Finding", "Lab", "Wrong", "told"]

ANSWER = "miniqueue_answer"  # the module that an answer becomes
FILE = "<your cell>"


class Busy(Exception):
    """Somebody else is at it (lab 3)."""


class Conflict(Exception):
    """The same key, and other arguments (lab 3)."""


class Wrong(Exception):
    """An answer that cannot be judged: it does not run, or lacks what the lab asks for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: what should be, what was seen, of which task, and its last moments."""

    expected: str
    seen: str
    task: str = ""
    timeline: tuple[str, ...] = ()


class Answer:
    """What a learner wrote, run once: `answer.take` is what the text defines under that name.

    Raises Wrong.
    """

    def __init__(self, text: str, asked: Sequence[str]) -> None:
        self.text = text
        try:
            self.module = run_as_module(text, ANSWER, FILE)
        except (Exception, SystemExit) as error:
            raise Wrong(f"your cell does not run: {told(error)}") from None
        for name in asked:
            if not callable(getattr(self.module, name, None)):
                raise Wrong(f"there is no function `{name}` in your cell: the lab asks for it")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


Judge = Callable[[Answer, random.Random], Finding | None]


@dataclass(frozen=True)
class Check:
    """One thing that an answer must do, in a sentence; `hint` is for those that do not."""

    name: str
    points: int
    sentence: str
    hint: str
    judge: Judge = field(repr=False)
    needs: tuple[str, ...] = ()  # checks without which this one would say nothing new
    real: bool = False  # whether it runs real processes, which take seconds


@dataclass
class Lab:
    """A lab, in the file grader.py of its folder: `lab = Lab(__file__, "Reliable pop", ("take",))`.

    `asked` are the functions or classes that an answer must define. Checks are in order.
    """

    file: str
    title: str
    asked: tuple[str, ...]
    checks: list[Check] = field(default_factory=list)
    programs: dict[str, Callable[..., object]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.file).parent

    @property
    def number(self) -> str:
        """Two digits, with which the name of its folder begins."""
        return self.folder.name[:2]

    def check(
        self, name: str, points: int, sentence: str, *, hint: str, **more: Any
    ) -> Callable[[Judge], Judge]:
        """Add a check; its function gives None or a Finding, and may raise what the answer does.

        `more` are the other fields of Check.
        """

        def add(judge: Judge) -> Judge:
            self.checks.append(Check(name, points, sentence, hint, judge, **more))
            return judge

        return add

    def program(self, function: Callable[..., object]) -> Callable[..., object]:
        """Something that real processes run: `function(answer, redis, *words)` (see Real)."""
        self.programs[function.__name__] = function
        return function


def told(error: BaseException) -> str:
    """An error in one line, with the last line of the answer that it passed."""
    kind = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return f"{kind.partition(' (')[0]} in line {error.lineno}"
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == FILE]
    return f"{kind} in line {lines[-1].lineno}: {lines[-1].line}".rstrip(": ") if lines else kind
