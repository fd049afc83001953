"""Micro-batched inference: which digit does an image show?

A forest of 100 trees answers one question in about the time in which it answers 32: what costs is
the call. So each client sends one image, and the worker hands the function all that wait.

Left out: a model kept in a file. This one is trained at its first use in a worker, in less than a
second (importing scikit-learn takes longer).
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from miniqueue.examples.samples import BLACK, PIXELS, training
from miniqueue.registry import task

__all__ = ["classify"]

Answer = dict[str, Any]
TREES = 100
_one_trains = threading.Lock()  # the lanes of a worker share the model


@task(batch=32, linger_ms=10, give_up_on=(ValueError,))
def classify(images: list[Any]) -> list[Answer | ValueError]:
    """The digit in an image; a task carries one image, the function gets those of many tasks.

    An image is a list of 64 numbers from 0 to 16. Each answer is {"digit": 0 to 9, "confidence":
    the share of trees that say so, 0 to 1}; for something that is not an image it is a ValueError,
    which fails that task alone and for good.
    """
    wrong = [_wrong(image) for image in images]
    good = [image for image, error in zip(images, wrong, strict=True) if error is None]
    answers = iter(_answers(good))
    return [next(answers) if error is None else error for error in wrong]


def _wrong(image: Any) -> ValueError | None:
    """Why this is not an image, None where it is one."""
    if not isinstance(image, list):
        return ValueError(f"a list of {PIXELS} numbers, not {type(image).__name__}")
    if len(image) != PIXELS:
        return ValueError(f"{PIXELS} numbers, not {len(image)}")
    for value in image:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= BLACK:
            return ValueError(f"numbers from 0 to {BLACK}, not {repr(value)[:20]}")
    return None


def _answers(images: list[list[float]]) -> list[Answer]:
    if not images:
        return []
    shares = _model().predict_proba(images)  # shape (images, 10)
    return [
        {"digit": int(row.argmax()), "confidence": round(float(row.max()), 4)} for row in shares
    ]


def _model() -> Any:
    with _one_trains:
        return _trained()


@functools.cache
def _trained() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    images, digits = training()
    return RandomForestClassifier(TREES, random_state=0).fit(images, digits)
