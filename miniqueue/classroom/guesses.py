"""Guesses: what a learner has predicted, before it is drawn or compared.

A guess comes out of a cell that anybody may edit: it may be None, a text, a list, NaN, or 1000 of
twelve. Charts and verdicts put each through here, so that what comes then is one sentence and not a
traceback out of matplotlib. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, SupportsFloat

from miniqueue.errors import GuessError

__all__ = ["MOST", "UNASKED", "asked", "count", "number", "off"]

UNASKED: Final = object()  # of a chart: no guess is drawn. None is a guess, and a wrong one
MOST = 1e6  # nothing in this course is larger
FIX = "change it in the cell that begins with guess_, run that one, then this one again"


def number(guess: object, least: float = 0, most: float = MOST) -> float:
    """A guess as a number from `least` to `most`.

    >>> number(0.5)
    0.5
    >>> number("0.5")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    miniqueue.errors.GuessError: your guess should be a number of 0 or more, and is the text ...
    """
    value = _value(guess)
    if value is None or not least <= value <= most:
        raise _error(guess, _wanted("a", least, most))
    return value


def count(guess: object, most: float = MOST) -> int:
    """A guess as a whole number from 0 to `most`.

    >>> count(12, 12)
    12
    """
    value = _value(guess)
    if value is None or not value.is_integer() or not 0 <= value <= most:
        raise _error(guess, _wanted("a whole", 0, most))
    return int(value)


def asked(guesses: Mapping[str, object] | None, name: str) -> object:
    """The guess of that name; UNASKED where there is none."""
    return (guesses or {}).get(name, UNASKED)


def off(guess: object, measured: float) -> float:
    """How far a guess is from what was measured.

    >>> off(12, 3)
    9.0
    """
    return abs(number(guess, -MOST) - measured)


def _value(guess: object) -> float | None:
    if isinstance(guess, bool) or not isinstance(guess, SupportsFloat):
        return None
    try:
        value = float(guess)
    except (TypeError, OverflowError):
        return None
    return value if abs(value) <= MOST else None  # NaN is not


def _error(guess: object, wanted: str) -> GuessError:
    return GuessError(f"your guess should be {wanted}, and is {_told(guess)}: {FIX}")


def _wanted(kind: str, least: float, most: float) -> str:
    if least <= -MOST:
        return f"{kind} number"
    if most >= MOST:
        return f"{kind} number of {least:g} or more"
    return f"{kind} number from {least:g} to {most:g}"


def _told(guess: object) -> str:
    if isinstance(guess, str):
        return f"the text {_short(repr(guess))}"
    if isinstance(guess, list | tuple | set | dict):
        return f"a {type(guess).__name__} of {len(guess)}"
    return _short(repr(guess))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
