"""registry.py: names, options, signatures, Context."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniqueue.context import Context
from miniqueue.errors import ConfigError, PayloadError, UnknownFunction
from miniqueue.options import Handling, Options
from miniqueue.registry import Registry, Spec, load_modules, nearest, task


def spec_of(function: Any) -> Spec:
    spec: Spec = task(registry=Registry())(function).spec
    return spec


# -- options ---------------------------------------------------------------------------------------

BOUNDS: dict[str, tuple[Any, Any]] = {
    "delay_s": (0, 31_536_000),
    "expires_s": (0.001, 31_536_000),
    "max_attempts": (1, 1000),
    "timeout_s": (0.001, 604_800),
}
HANDLING_BOUNDS: dict[str, tuple[Any, Any]] = {
    "backoff_s": (0, 86_400),
    "backoff_cap_s": (0, 604_800),
    "batch": (1, 1000),
    "linger_ms": (0, 10_000),
}
KINDS = [(Options, name, bounds) for name, bounds in BOUNDS.items()] + [
    (Handling, name, bounds) for name, bounds in HANDLING_BOUNDS.items()
]


@pytest.mark.parametrize(("kind", "name", "bounds"), KINDS)
def test_an_option_may_lie_on_its_bounds_and_not_beyond(
    kind: Any, name: str, bounds: tuple[Any, Any]
) -> None:
    low, high = bounds
    for value in (low, high):
        assert getattr(kind(**{name: value}), name) == value
    beyond: tuple[Any, ...] = (low - 1, high + 1, float("nan"))
    for value in beyond:
        with pytest.raises(ConfigError, match=name):
            kind(**{name: value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": "urgent"},
        {"queue": "no spaces"},
        {"queue": ""},
        {"queue": "x" * 65},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 201},
    ],
)
def test_a_word_that_cannot_be_used_is_a_config_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Options(**wrong)


@pytest.mark.parametrize("wrong", [{"timeout_s": "5"}, {"max_attempts": 2.5}, {"delay_s": [1]}])
def test_an_option_of_another_type_is_a_config_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Options(**wrong)


def test_an_option_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"'retries'.*max_attempts"):
        task(registry=Registry(), retries=3)(one)


def test_options_make_a_sibling_and_leave_the_function() -> None:
    @task(registry=Registry(), max_attempts=5)
    def add(x: int, y: int) -> int:
        return x + y

    urgent = add.options(priority="high", delay_s=2)
    assert urgent.spec.options == Options(priority="high", delay_s=2, max_attempts=5)
    assert add.spec.options == Options(max_attempts=5)
    assert urgent(1, 2) == 3
    with pytest.raises(ConfigError, match="retries"):
        add.options(retries=1)


# -- names -----------------------------------------------------------------------------------------


def one() -> str:
    return "one"


def two() -> str:
    return "two"


def test_a_task_function_stays_a_plain_function(registry: Registry) -> None:
    @task(registry=registry)
    def greet(name: str) -> str:
        """Say hello."""
        return "hello " + name

    assert greet("you") == "hello you"
    assert (vars(greet)["__name__"], greet.__doc__, greet.name) == ("greet", "Say hello.", "greet")
    assert repr(greet) == "<task function greet(name: str) -> str>"
    assert registry.get("greet") is greet
    assert ("greet" in registry, len(registry)) == (True, 1)


def test_two_functions_of_one_name_are_refused_and_both_are_named(registry: Registry) -> None:
    task(registry=registry, name="same")(one)
    with pytest.raises(ConfigError, match=r"test_registry\.one and .*test_registry\.two"):
        task(registry=registry, name="same")(two)


def test_the_same_function_may_be_registered_again(registry: Registry) -> None:
    task(registry=registry, name="same")(one)
    again = task(registry=registry, name="same", max_attempts=9)(one)
    assert registry.get("same") is again


def test_a_name_must_fit_into_a_key(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="task function 'a b'"):
        task(registry=registry, name="a b")(one)


def test_an_unknown_name_comes_with_the_nearest_ones(registry: Registry) -> None:
    task(registry=registry, name="resize")(one)
    task(registry=registry, name="mail")(two)
    with pytest.raises(UnknownFunction) as raised:
        registry.get("rezise")
    assert (raised.value.name, raised.value.nearest) == ("rezise", ("resize",))


def test_where_no_name_is_near_some_are_told() -> None:
    assert nearest("zzzz", ["d", "c", "b", "a"]) == ("a", "b", "c")
    assert nearest("zzzz", []) == ()


# -- signatures ------------------------------------------------------------------------------------


def shaped(a: int, b: int = 2, *rest: int, flag: bool, other: bool = False, **more: int) -> None:
    """Every kind of parameter."""


CALLS: list[tuple[tuple[int, ...], dict[str, int], bool]] = [
    ((1,), {"flag": 1}, True),
    ((1, 2, 3, 4), {"flag": 1, "extra": 1}, True),
    ((), {"a": 1, "flag": 1}, True),
    ((1,), {}, False),
    ((), {"flag": 1}, False),
    ((1,), {"a": 1, "flag": 1}, False),
]


@pytest.mark.parametrize(("args", "kwargs", "fits"), CALLS)
def test_r8_a_call_is_checked_against_the_signature_also_after_a_journey(
    args: tuple[int, ...], kwargs: dict[str, int], fits: bool
) -> None:
    here = spec_of(shaped)
    for spec in (here, Spec.from_json("shaped", here.to_json())):
        if fits:
            spec.check(args, kwargs)
            continue
        with pytest.raises(PayloadError) as raised:
            spec.check(args, kwargs)
        assert raised.value.signature == here.usage


@given(st.integers(0, 4), st.sets(st.sampled_from(["a", "b", "c", "z"])))
def test_here_and_after_a_journey_the_same_calls_fit(positional: int, named: set[str]) -> None:
    def function(a: Any, b: Any = 1, *, c: Any = 2) -> None: ...

    here = spec_of(function)
    there = Spec.from_json("function", here.to_json())

    def fits(spec: Spec) -> bool:
        try:
            spec.check([0] * positional, dict.fromkeys(named, 0))
        except PayloadError:
            return False
        return True

    assert fits(here) == fits(there)


def test_a_spec_travels_with_options_doc_and_usage() -> None:
    @task(registry=Registry(), max_attempts=7, priority="low", queue="mail")
    def send(to: str, subject: str = "none") -> None:
        """Send a letter.

        More words.
        """

    there = Spec.from_json("send", send.spec.to_json())
    assert there.options == Options(max_attempts=7, priority="low", queue="mail")
    assert (there.doc, there.name) == ("Send a letter.", "send")
    assert there.usage == send.spec.usage == "send(to: str, subject: str = 'none') -> None"


# -- Context ---------------------------------------------------------------------------------------


def test_a_context_parameter_is_no_part_of_the_call() -> None:
    def job(ctx: Context, x: int) -> None: ...

    made = task(registry=Registry())(job)
    assert made.wants_context
    made.spec.check([1], {})
    with pytest.raises(PayloadError):
        made.spec.check([1, 2], {})
    assert "ctx" not in made.spec.usage


def test_a_function_without_a_context_is_given_none() -> None:
    assert not task(registry=Registry())(one).wants_context


def test_an_annotation_that_only_a_type_checker_can_read_is_no_error() -> None:
    def job(x: Any) -> None: ...

    job.__annotations__["x"] = "Nowhere"
    assert spec_of(job).signature.parameters.keys() == {"x"}


# -- modules ---------------------------------------------------------------------------------------


def test_modules_are_imported_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_homework_tasks.py").write_text("loaded = True")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    load_modules(["my_homework_tasks"])
    assert sys.modules.pop("my_homework_tasks").loaded


def test_a_module_that_is_not_there_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot import 'no_such_module'"):
        load_modules(["no_such_module"])
