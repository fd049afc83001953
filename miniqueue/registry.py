"""The registry: which Python function runs for which task name, and with which options. Pure.

    @task(max_attempts=5)
    def add(x, y): return x + y

registers `add` and leaves it a plain function. A name, never code, travels through Redis.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, ParamSpec, TypeVar, overload

from miniqueue.context import Context
from miniqueue.errors import ConfigError, PayloadError, UnknownFunction
from miniqueue.options import Handling, Options, changed, split
from miniqueue.settings import check_name

__all__ = [
    "Registry",
    "Spec",
    "TaskFunction",
    "default_registry",
    "load_modules",
    "task",
]

P = ParamSpec("P")
R = TypeVar("R")
USUAL = Handling()  # of a function that is not known here
BUILT_IN = "miniqueue.functions."


@dataclass(frozen=True)
class Spec:
    """What a client must know of a function to check a call of it: no code, so it can travel."""

    name: str
    signature: inspect.Signature
    options: Options = field(default_factory=Options)
    doc: str = ""
    usage: str = ""
    _counts: range = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.usage:
            object.__setattr__(self, "usage", f"{self.name}{self.signature}")
        object.__setattr__(self, "_counts", _counts(self.signature))

    def but(self, changes: dict[str, Any]) -> Spec:
        """The same with some options changed. Raises ConfigError for one that does not exist."""
        return replace(self, options=changed(self.options, changes)) if changes else self

    def check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise PayloadError unless the arguments fit the signature."""
        if not kwargs and len(args) in self._counts:  # bind() says the same, 25 times slower
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise PayloadError(f"wrong arguments for {self.name!r}: {error}", self.usage) from None

    def to_json(self) -> str:
        """The text that a worker announces in the hash mq:functions."""
        parameters = [
            [p.name, int(p.kind), p.default is not p.empty]
            for p in self.signature.parameters.values()
        ]
        changed = {
            n: getattr(self.options, n)
            for n in Options.__slots__
            if getattr(self.options, n) != getattr(Options(), n)
        }
        return json.dumps(
            {"parameters": parameters, "usage": self.usage, "options": changed, "doc": self.doc}
        )

    @classmethod
    def from_json(cls, name: str, text: str) -> Spec:
        """The inverse of to_json; a default's value is not known, only that there is one."""
        told = json.loads(text)
        parameters = [
            inspect.Parameter(
                n, inspect._ParameterKind(kind), default=... if has else inspect.Parameter.empty
            )
            for n, kind, has in told["parameters"]
        ]
        return cls(
            name,
            inspect.Signature(parameters),
            Options(**_known(told["options"])),
            told["doc"],
            told["usage"],
        )


def _counts(signature: inspect.Signature) -> range:
    """How many positional arguments alone fit for certain; empty where more must be asked."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values()
    if any(p.kind not in kinds for p in parameters):
        return range(0)
    return range(sum(p.default is p.empty for p in parameters), len(parameters) + 1)


def _known(told: dict[str, Any]) -> dict[str, Any]:
    """What an announcement says of options that this version has."""
    return {name: value for name, value in told.items() if name in Options.__slots__}


class TaskFunction(Generic[P, R]):
    """A registered function: still callable, and known to the queue by `name`."""

    def __init__(
        self,
        function: Callable[P, R],
        name: str,
        options: Options,
        handling: Handling = Handling(),  # noqa: B008  (frozen)
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self._options = options
        self.handling = handling
        self.is_async = inspect.iscoroutinefunction(function)
        self._context_at, signature = _split_context(_signature(function))
        if handling.batch > 1 and (self.wants_context or len(signature.parameters) != 1):
            raise ConfigError(
                f"batch function {name!r} takes {signature}: it must take one parameter, "
                "the list of the tasks' single arguments"
            )
        doc = (inspect.getdoc(function) or "").partition("\n")[0]
        self.spec = Spec(name, signature, options, doc[:200])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task function {self.spec.usage}>"

    @property
    def wants_context(self) -> bool:
        """Whether a parameter is annotated Context."""
        return self._context_at is not None

    def with_context(
        self, context: Context, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, with the context where the function wants it."""
        assert self._context_at is not None
        at, name = self._context_at
        if at <= len(args):
            return [*args[:at], context, *args[at:]], kwargs
        return args, {**kwargs, name: context}

    def options(self, **changes: Any) -> TaskFunction[P, R]:
        """The same function with other options for the calls that are sent with it."""
        return TaskFunction(
            self.function, self.name, changed(self._options, changes), self.handling
        )


class Registry:
    """Task functions by name. A worker runs what is in its registry and nothing else."""

    def __init__(self) -> None:
        self._functions: dict[str, TaskFunction[..., Any]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def __len__(self) -> int:
        return len(self._functions)

    def add(self, function: TaskFunction[..., Any]) -> None:
        """Register; a second function of the same name from another place is a ConfigError.

        Only the built-in ones give way: your `add` is the one that runs.
        """
        known = self._functions.get(function.name)
        if known is not None and _place(function).startswith(BUILT_IN):
            return
        if known is not None and not _place(known).startswith((BUILT_IN, _place(function))):
            raise ConfigError(
                f"two task functions are called {function.name!r}: {_place(known)} and "
                f"{_place(function)}; give one of them @task(name=...)"
            )
        self._functions[function.name] = function

    def get(self, name: str) -> TaskFunction[..., Any]:
        """The function, or UnknownFunction with the nearest names."""
        function = self._functions.get(name)
        if function is None:
            raise self.unknown(name)
        return function

    def unknown(self, name: str) -> UnknownFunction:
        """The error for a name that is not here, with the nearest ones."""
        return UnknownFunction(name, nearest(name, self._functions))

    def find(self, name: str) -> TaskFunction[..., Any] | None:
        """The function, or None."""
        return self._functions.get(name)

    def handling(self, name: str) -> Handling:
        """How a function is handled; the usual way for one that is not here."""
        function = self._functions.get(name)
        return USUAL if function is None else function.handling

    def specs(self) -> dict[str, Spec]:
        """What a worker announces."""
        return {name: function.spec for name, function in self._functions.items()}


default_registry = Registry()


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(
    *, name: str | None = None, registry: Registry = default_registry, **options: Any
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    registry: Registry = default_registry,
    **options: Any,
) -> Any:
    """Make a function a task function: `@task` or `@task(max_attempts=3, timeout_s=10)`.

    Takes every field of Options and of Handling, a `name` (default: the function's own) and a
    `registry`. Raises ConfigError for an option that does not exist or is out of bounds.
    """

    def register(function: Callable[P, R]) -> TaskFunction[P, R]:
        made = TaskFunction(
            function, check_name("task function", name or function.__name__), *split(options)
        )
        registry.add(made)
        return made

    return register if function is None else register(function)


def load_modules(modules: Iterable[str]) -> None:
    """Import modules for their task functions, also from the current folder. Raises ConfigError."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ConfigError(f"cannot import {module!r}: {error}; is it on PYTHONPATH?") from None


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three known names, most alike first, to suggest in an error.

    >>> nearest("ad", ["add", "sleep"])
    ('add',)
    """
    names = list(known)
    return tuple(difflib.get_close_matches(name, names, n=3, cutoff=0.5)) or tuple(
        sorted(names)[:3]
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, SyntaxError, TypeError):  # an annotation that only a type checker can read
        return inspect.signature(function)


def _split_context(
    signature: inspect.Signature,
) -> tuple[tuple[int, str] | None, inspect.Signature]:
    """Place and name of the parameter annotated Context, and the signature without it."""
    parameters = list(signature.parameters.values())
    for at, parameter in enumerate(parameters):
        if parameter.annotation in (Context, "Context"):
            rest = parameters[:at] + parameters[at + 1 :]
            keyword = parameter.kind is parameter.KEYWORD_ONLY
            place = (sys.maxsize if keyword else at, parameter.name)
            return place, signature.replace(parameters=rest)
    return None, signature


def _place(function: TaskFunction[..., Any]) -> str:
    return f"{function.function.__module__}.{function.function.__qualname__}"
