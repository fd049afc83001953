"""Streamed text with a budget, from a language model small enough to read.

The model is an n-gram: it has counted, in the prose of Python's own language reference, which word
follows which two words, and draws the next one by those counts. A large model has the same face:
tokens one by one, an end that the model chooses, and a budget for when it does not.

Left out: sense. Needs nothing but the standard library.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Iterator
from time import sleep
from typing import Any

from miniqueue.context import Context
from miniqueue.errors import Fail
from miniqueue.registry import task

__all__ = ["tell"]

Model = dict[tuple[str, ...], list[str]]
MOST_TOKENS = 2000
TELL_EVERY = 10  # tokens between two reports of progress
PARAGRAPH, END = "\n\n", ""
# A word may hold a dot (sys.path); a mark behind a word is a token of its own.
TOKEN = re.compile(r"[^\s.,;:]+(?:[.,;:]+[^\s.,;:]+)*|[.,;:]")


@task
def tell(ctx: Context, prompt: str, budget: int = 100, seed: int = 0, pause_s: float = 0.0) -> str:
    """Go on from the prompt for at most `budget` (1 to 2,000) tokens; gives the text.

    Each token is emitted as soon as it is drawn, and all that is emitted makes the text. If the
    budget ends it, a last piece says so. The same prompt and seed give the same text on the same
    version of Python. `pause_s` after each token makes it slow enough to watch.
    """
    _check(prompt, budget, seed)
    told: list[str] = []

    def say(piece: str) -> None:
        ctx.emit(piece)
        told.append(piece)

    pieces = _pieces(prompt, seed)
    for number, piece in enumerate(itertools.islice(pieces, budget), 1):
        say(piece)
        if number % TELL_EVERY == 0:
            ctx.progress(number / budget, f"{number} of at most {budget} tokens")
        sleep(pause_s)
    tokens = len(told)
    if next(pieces, None) is not None:
        say(f" [the budget of {budget} tokens is used up]")
    ctx.progress(1.0, f"{tokens} tokens")
    return "".join(told)


def _check(prompt: Any, budget: Any, seed: Any) -> None:
    """What comes over HTTP may be of any type. Raises Fail: a second try would not help."""
    if not isinstance(prompt, str):
        raise Fail(f"prompt is a text, not {type(prompt).__name__}")
    if type(budget) is not int or not 1 <= budget <= MOST_TOKENS:
        raise Fail(f"budget is 1 to {MOST_TOKENS:,} tokens, not {budget!r}")
    if type(seed) is not int:
        raise Fail(f"seed is a whole number, not {seed!r}")


def _pieces(prompt: str, seed: int) -> Iterator[str]:
    """The tokens that follow the prompt, each with the space before it."""
    model, chance = _model(), random.Random(seed)
    before, last = ["", "", *TOKEN.findall(prompt)][-2:]
    space = ""
    while (token := chance.choice(_followers(model, before, last))) != END:
        yield token if token in ".,;:" or token == PARAGRAPH else space + token
        space = "" if token == PARAGRAPH else " "
        before, last = last, token


def _followers(model: Model, before: str, last: str) -> list[str]:
    """What came after these two words; if they never met, after the last; else a beginning."""
    before, last = before.lower(), last.lower()
    return model.get((before, last)) or model.get((last,)) or model["", ""]


@functools.cache
def _model() -> Model:
    """Two words, or one, and what follows them, as often as it does. Made in about 0.1 s."""
    model: Model = {}
    for topic in _topics():
        words = ["", "", *topic, END]
        for before, last, token in zip(words, words[1:], words[2:], strict=False):
            before, last = before.lower(), last.lower()
            model.setdefault((before, last), []).append(token)
            model.setdefault((last,), []).append(token)
    return model


def _topics() -> Iterator[list[str]]:
    """The tokens of each topic of the language reference, its paragraphs of prose alone."""
    from pydoc_data.topics import topics

    for text in topics.values():
        prose = [TOKEN.findall(p) for p in re.split(r"\n\s*\n", text) if _is_prose(p)]
        if prose:
            rest = [token for paragraph in prose[1:] for token in (PARAGRAPH, *paragraph)]
            yield [*prose[0], *rest]


def _is_prose(paragraph: str) -> bool:
    """Not a heading, a piece of grammar or code: those are indented or do not end in a stop."""
    return re.match(r"[A-Z]", paragraph) is not None and paragraph.endswith(".")
