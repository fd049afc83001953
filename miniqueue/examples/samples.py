"""Samples: 1,797 images of handwritten digits, which the wheel of scikit-learn carries.

An image is a row of 64 numbers (8 lines of 8) from 0, white, to 16, black. Every fourth image is
held out: no example learns from it. Importing this module does not import scikit-learn, which takes
seconds; it only looks whether it is there.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from miniqueue.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLACK", "PIXELS", "held_out", "training"]

PIXELS = 64
BLACK = 16
HELD_OUT_EVERY = 4

if importlib.util.find_spec("sklearn") is None:
    raise ConfigError("this example needs scikit-learn: pip install 'miniqueue[ai]'")


def training() -> tuple[NDArray[Any], NDArray[Any]]:
    """1,347 images, shape (1347, 64), and the digits that they show, shape (1347,)."""
    images, digits = _all()
    learn = _places() % HELD_OUT_EVERY != 0
    return images[learn], digits[learn]


def held_out() -> tuple[NDArray[Any], NDArray[Any]]:
    """The other 450 images, shape (450, 64), and their digits, shape (450,)."""
    images, digits = _all()
    keep = _places() % HELD_OUT_EVERY == 0
    return images[keep], digits[keep]


@functools.cache
def _all() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    return images, digits


def _places() -> NDArray[Any]:
    import numpy

    return numpy.arange(len(_all()[1]))
