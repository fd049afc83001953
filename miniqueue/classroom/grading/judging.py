"""Judge: put an answer to the checks of a lab, in this process."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from miniqueue.classroom.explorer import Exploration, Failure
from miniqueue.classroom.grading.lab import Answer, Check, Finding, Lab, Wrong, told
from miniqueue.classroom.grading.report import Result

__all__ = ["finding", "found", "judge", "names", "shortened"]

CHECK_S = 8.0  # of computing: the longest that one check may take, however busy the machine is
AGAIN_S = 1.5  # the same, after another one has run out of time
BUSY = 4  # times as long it may last, since others compute too and since it may wait
REAL_S = 40.0  # the longest that one with real processes may last
TOO_LATE = "it had not ended after"
TIMELINE = 5  # lines


class TimeUp(BaseException):
    """Strikes in an answer that takes too long; no Exception, so that it is not caught there."""


def names(rng: random.Random, count: int) -> list[str]:
    """Tasks with names that occur nowhere else."""
    return [f"task{number}" for number in rng.sample(range(100, 1000), count)]


def found(exploration: Exploration, task: str = "") -> Finding | None:
    """What the explorer found, as a Finding; of `task`, or of the one that the failure names."""
    if exploration.failure is None and exploration.cut:
        return Finding("the program ends when there is nothing to do", "it goes on and on")
    return finding(exploration.failure, task)


def finding(failure: Failure | None, task: str = "") -> Finding | None:
    """A failure as a Finding."""
    if failure is None:
        return None
    steps = [f"{step.who}: {step.told}" for step in failure.steps]
    words = failure.wrong.split()
    named = words[words.index("task") + 1] if "task" in words[:-1] else ""
    return Finding(failure.sentence, failure.wrong, task or named, shortened(steps))


def shortened(lines: Sequence[str]) -> tuple[str, ...]:
    """The first and the last of many lines: five in all."""
    if len(lines) <= TIMELINE:
        return tuple(lines)
    left = len(lines) - TIMELINE + 1
    return (lines[0], f"… {left} more steps …", *lines[-TIMELINE + 2 :])


def judge(
    lab: Lab, text: str, seed: int = 0, only: Sequence[str] = (), *, real: bool = True
) -> list[Result]:
    """Put an answer's text to all checks, or those named in `only`; without `real` not to those
    with real processes.

    It is run anew for each. A check that needs one that failed waits, without points. Raises Wrong.
    """
    try:
        with limited(CHECK_S, CHECK_S * BUSY):
            Answer(text, lab.asked)
    except TimeUp as up:
        raise Wrong(f"your cell does not run: {up}") from None
    results: dict[str, Result] = {}
    for check in _wanted(lab, only):
        if real or not check.real:
            first = [name for name in check.needs if name in results and not results[name].passed]
            late = any(TOO_LATE in result.seen for result in results.values())
            most_s = AGAIN_S if late and not check.real else CHECK_S
            results[check.name] = (
                _waits(check, first) if first else _judged(lab, check, (text, seed), most_s)
            )
    return [result for name, result in results.items() if not only or name in only]


def _wanted(lab: Lab, only: Sequence[str]) -> list[Check]:
    """The named checks, and those that they need."""
    names = {*only}
    for check in lab.checks:
        names |= {*check.needs} if check.name in only else set()
    return [check for check in lab.checks if not only or check.name in names]


def _waits(check: Check, first: Sequence[str]) -> Result:
    return Result(check.name, check.sentence, 0, check.points, check.hint, waits=tuple(first))


def _judged(lab: Lab, check: Check, asked: tuple[str, int], most_s: float) -> Result:
    text, seed = asked
    rng = random.Random(f"{lab.number} {check.name} {seed}")
    finding: Finding | None
    try:
        with limited(most_s, REAL_S if check.real else most_s * BUSY):
            finding = check.judge(Answer(text, lab.asked), rng)
    except TimeUp as up:
        finding = Finding("the program ends", str(up))
    except Exception as error:
        finding = Finding("no exception", told(error))
    except SystemExit:
        finding = Finding("the program goes on", "it ended the whole process (SystemExit)")
    points = 0 if finding else check.points
    words = asdict(finding) if finding else {}
    return Result(check.name, check.sentence, points, check.points, check.hint, **words)


@contextlib.contextmanager
def limited(computing_s: float, lasting_s: float) -> Iterator[None]:
    """Raise TimeUp in the block when this process has computed for so long, or when so much time
    has passed, where the system has such timers (not Windows).

    Again each second: an answer may have caught it.
    """
    usable = hasattr(signal, "setitimer")
    if not usable or threading.current_thread() is not threading.main_thread():
        yield
        return

    def strike(number: int, _: object) -> None:
        if number == signal.SIGPROF:
            raise TimeUp(f"{TOO_LATE} {computing_s:g} s of computing")
        raise TimeUp(f"{TOO_LATE} {lasting_s:g} s")

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, computing_s),
        signal.SIGALRM: (signal.ITIMER_REAL, lasting_s),
    }
    before = {number: signal.signal(number, strike) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds, 1.0)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
