"""Story: a check that calls an answer step by step, in a world in which nobody is slow.

def story(you, sleep):
    'a lease that is renewed goes on'          # what should be
    task, attempt = you.claim("w1", 10)
    sleep(6)
    ...
    return "what is wrong, or None"

tell(story, answer, scenario)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from miniqueue.classroom.explorer import Actor, Invariant, Scenario, View, timely
from miniqueue.classroom.grading.judging import finding, shortened
from miniqueue.classroom.grading.lab import Answer, Finding

__all__ = ["tell"]

Story = Callable[[Any, Callable[[float], None]], str | None]


class _Calls:
    """The answer, and what a story called and got: a timeline in the learner's own words."""

    def __init__(self, answer: Answer, redis: Any) -> None:
        self.lines: list[str] = []
        self.redis = redis
        self._answer = answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            words = f"{name}({', '.join(map(_told, args))})"
            try:
                given = getattr(self._answer, name)(self.redis, *args)
            except Exception as error:
                self.lines.append(f"{words} raises {type(error).__name__}: {error}")
                raise
            self.lines.append(f"{words} gives {given!r}")
            return given

        return call


def tell(story: Story, answer: Answer, scenario: Scenario) -> Finding | None:
    """What the story says is wrong; its docstring says what should be.

    `scenario` prepares Redis and says which clocks stand still; it needs no actors.
    """
    lines: list[str] = []

    def program(actor: Actor) -> None:
        calls = _Calls(answer, actor.redis)

        def sleep(seconds: float) -> None:
            actor.sleep(seconds)
            calls.lines.append(f"{seconds:g} s pass")

        try:
            wrong = story(calls, sleep)
        finally:
            lines[:] = calls.lines
        if wrong:
            actor.record("wrong", wrong)

    def check(view: View) -> str | None:
        return next((words[1] for words in view.new if words[0] == "wrong"), None)

    rule = Invariant("story", str(story.__doc__), check)
    broken = finding(timely(replace(scenario, actors={"you": program}, invariants=[rule])))
    return broken and replace(broken, timeline=shortened(lines or broken.timeline))


def _told(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)
