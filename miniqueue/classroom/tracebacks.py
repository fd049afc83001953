"""Tracebacks: what a notebook shows of an error.

An error of miniqueue, a Redis or an API that is away, and the stop button are one sentence and the
line of the cell. Every other error keeps its traceback as far as it is the learner's: frames inside
libraries are left out, and a line says so. `%tb` shows all of it. `install()` is called by
%load_ext, by the first Stack and by the import of miniqueue.classroom; outside IPython it does
nothing.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from miniqueue.classroom.cells import shell_of
from miniqueue.errors import BackendUnavailable, MiniQueueError, TaskFailed

__all__ = ["install", "sentence_of"]

RED, PLAIN = "\x1b[31m", "\x1b[39m"
PACKAGE = Path(__file__).parents[1]
HOMES = [PACKAGE, *(Path(sysconfig.get_paths()[k]) for k in ("stdlib", "purelib", "platlib"))]
LIBRARY = tuple(f"{place}/" for home in HOMES for place in {home, home.resolve()})
AWAY = {  # module of the error: what does not answer
    "redis": "Redis does not answer",
    "httpx": "nobody answers at this address",
}
STOP = (KeyboardInterrupt, asyncio.CancelledError)  # what the stop button raises, in an await
HALF = "cannot load module more than once per process"  # numpy's word for an import that broke off
STARTED = "run the start cell, the one with `Stack(...)`, again, then go on from there"
REMOTE = 12  # the last lines of a traceback on a worker
Handled = tuple[type[BaseException], BaseException, TracebackType | None]


def install() -> None:
    """From now on show errors so, if this is a notebook and nobody else handles them."""
    shell = shell_of()
    if shell is not None and not shell.custom_exceptions:
        shell.set_custom_exc((Exception, *STOP), _show)


def sentence_of(error: BaseException, space: dict[str, Any]) -> str:
    """The one sentence that says what to do; nothing where the traceback says it.

    `space` holds the notebook's variables: a stack among them may have been stopped.
    """
    if isinstance(error, STOP):
        rest = "" if _stopped(space) else " What else was started runs on."
        return f"this cell was stopped in the middle.{rest} Run it again, or go on"
    if isinstance(error, ImportError) and HALF in str(error):
        return "an import was stopped in the middle: restart the kernel, then run from the top"
    home = type(error).__module__.partition(".")[0]
    away = isinstance(error, BackendUnavailable) or _is_away(error)
    if away and _stopped(space):
        return f"the stack has been stopped: {STARTED}"
    if away and home in AWAY:
        return f"{AWAY[home]}: {error}"
    return str(error) if isinstance(error, MiniQueueError) else ""


def _is_away(error: BaseException) -> bool:
    """Whether it is the client of Redis or HTTP that finds nobody there."""
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins"}
    home = type(error).__module__.partition(".")[0]
    return home in AWAY and bool(names & {"ConnectionError", "TimeoutError", "TransportError"})


def _stopped(space: dict[str, Any]) -> bool:
    """Whether the notebook has stacks and none of them runs."""
    stacks = [v for v in list(space.values()) if type(v).__name__ == "Stack"]
    return bool(stacks) and not any(stack.running for stack in stacks)


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # for %tb
    if isinstance(error, SyntaxError | BaseExceptionGroup) or kind.__name__ == "UsageError":
        shell.showtraceback((kind, error, trace))
        return
    sentence = sentence_of(error, shell.user_ns)
    if sentence:
        lines = [f"{RED}{kind.__name__}{PLAIN}: {sentence}", *_place(shell, trace), *_remote(error)]
    else:
        lines = _shortened(shell, (kind, error, trace))
    shell._showtraceback(kind, error, lines)


def _place(shell: Any, trace: TracebackType | None) -> Iterator[str]:
    """The line of the learner's that it comes from."""
    if own := _own(trace):
        last = own[-1]
        file, number = last.tb_frame.f_code.co_filename, last.tb_lineno
        named = shell.compile.format_code_name(file)
        text = linecache.getline(file, number).strip()
        if text and not text.startswith("get_ipython()."):  # what IPython makes of a magic
            yield f"  {' '.join(named) if named else file}, line {number}: {text}"


def _remote(error: BaseException) -> list[str]:
    """Where it happened on a worker: what the learner's own function did there."""
    told = str(error.error.get("traceback") or "") if isinstance(error, TaskFailed) else ""
    return [f"  {line}" for line in told.splitlines()[-REMOTE:]]


def _shortened(shell: Any, handled: Handled) -> list[str]:
    """The usual traceback, of the learner's frames."""
    kind, error, trace = handled
    own = _own(trace)
    foreign = [part for part in list(_walk(trace))[1:] if part not in own]  # the first is IPython's
    if trace is None or not own or not foreign:
        lines = shell.InteractiveTB.structured_traceback(kind, error, trace)
        return [*lines, *_hint(error, shell.user_ns)]
    chain = error.__cause__, error.__context__, error.__suppress_context__
    error.__cause__, error.__context__ = None, None
    try:
        lines = shell.InteractiveTB.structured_traceback(kind, error, _joined([trace, *own]))
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = chain
    where = _library(foreign[-1].tb_frame.f_code.co_filename)
    return [*lines, f"(what lies inside {where} is left out: %tb shows it)"]


def _hint(error: BaseException, space: dict[str, Any]) -> Iterator[str]:
    if isinstance(error, NameError) and error.name and error.name not in space:
        yield f"`{error.name}` may be made by a cell above: run the cells from the top, in order."


def _walk(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _own(trace: TracebackType | None) -> list[TracebackType]:
    """The parts of it that are not a library's."""
    return [part for part in _walk(trace) if _is_own(part.tb_frame.f_code.co_filename)]


def _is_own(file: str) -> bool:
    return not file.startswith((*LIBRARY, "<frozen"))


def _library(file: str) -> str:
    """What a learner calls the library of this file."""
    if file.startswith(f"{PACKAGE}/"):
        return "miniqueue"
    _, found, rest = file.partition("site-packages/")
    return rest.partition("/")[0] if found else "Python's own library"


def _joined(parts: Sequence[TracebackType]) -> TracebackType | None:
    """A traceback of these parts alone."""
    chain = None
    for part in reversed(parts):
        chain = TracebackType(chain, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return chain
