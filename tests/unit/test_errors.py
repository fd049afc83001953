"""errors.py: one tree, drawn in its docstring; data as attributes."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import miniqueue
from miniqueue import errors

PUBLIC = {
    name
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and thing.__module__ == errors.__name__
}
DATA: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
    (errors.TaskNotFound, ("i",), {"task_id": "i"}),
    (errors.TaskExists, ("i", "k"), {"task_id": "i", "key": "k"}),
    (errors.TaskExists, ("i",), {"task_id": "i", "key": None}),
    (errors.UnknownFunction, ("n", ("m",)), {"name": "n", "nearest": ("m",)}),
    (
        errors.InvalidTransition,
        ("i", "queued", "retry"),
        {"task_id": "i", "state": "queued", "verb": "retry"},
    ),
    (errors.LeaseLost, ("i", 3), {"task_id": "i", "attempt": 3}),
    (errors.PayloadError, ("p", "f(x)"), {"problem": "p", "signature": "f(x)"}),
    (
        errors.PayloadTooLarge,
        ("it", 9, 5, "MINIQUEUE_MAX"),
        {"size": 9, "limit": 5, "setting": "MINIQUEUE_MAX", "signature": None},
    ),
    (
        errors.QueueFull,
        ("q", 9, 5),
        {"queue": "q", "waiting": 9, "limit": 5, "retry_after_s": 1},
    ),
    (errors.BackendUnavailable, ("gone",), {"problem": "gone"}),
    (errors.StackError, ("gone", "log"), {"problem": "gone", "log": "log"}),
    (
        errors.TaskFailed,
        ("i", {"type": "E", "message": "m"}),
        {"task_id": "i", "error": {"type": "E", "message": "m"}},
    ),
    (errors.TaskCancelled, ("i", "r"), {"task_id": "i", "reason": "r"}),
]


def drawn() -> dict[str, str]:
    """Class -> parent, as the tree of the docstring shows them."""
    parents, above = {"MiniQueueError": "Exception"}, {0: "MiniQueueError"}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r" {4}([│ ]*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4
            parents[match[2]] = above[depth]
            above[depth + 1] = match[2]
        elif match := re.match(r" {4}(\w+), (\w+) +raised", line):
            parents[match[1]] = parents[match[2]] = "Exception"
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == {name: vars(errors)[name].__base__.__name__ for name in PUBLIC}


def test_all_names_every_class_in_order() -> None:
    assert errors.__all__ == sorted(PUBLIC)


def test_the_package_offers_what_a_caller_can_meet() -> None:
    assert PUBLIC - set(miniqueue.__all__) == {"GuessError", "NotRepeatable", "StackError"}


@pytest.mark.parametrize(("kind", "args", "data"), DATA, ids=lambda x: getattr(x, "__name__", ""))
def test_each_class_carries_its_data(
    kind: type[Exception], args: tuple[Any, ...], data: dict[str, Any]
) -> None:
    error = kind(*args)
    assert {name: getattr(error, name) for name in data} == data
    assert isinstance(error, errors.MiniQueueError)
    assert str(error)


def test_every_class_with_data_is_in_the_table_above() -> None:
    plain = {"MiniQueueError", "ConfigError", "GuessError", "NotRepeatable", "Retry", "Fail"}
    assert {kind.__name__ for kind, _, _ in DATA} == PUBLIC - plain


def test_what_task_functions_raise_is_no_error_of_the_queue() -> None:
    assert not issubclass(errors.Retry, errors.MiniQueueError)
    assert not issubclass(errors.Fail, errors.MiniQueueError)
    assert errors.Retry(after_s=2.5).after_s == 2.5
    assert errors.Retry("busy").after_s is None
