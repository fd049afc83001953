"""Cells: a notebook's cell as a module, run again, and stopped where it must not be."""

from __future__ import annotations

import contextlib
import dis
import linecache
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["late_stop", "rerun", "run_as_module", "run_in", "shell_of"]


def shell_of() -> Any:
    """IPython's shell, where this process is a notebook's kernel or a prompt; None elsewhere."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


@contextlib.contextmanager
def late_stop() -> Iterator[None]:
    """The stop button waits until the block ends: for what must not be left half done.

    numpy that was stopped in its first import cannot be imported any more, until the kernel is
    started again.
    """
    if threading.current_thread() is not threading.main_thread() or shell_of() is None:
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def rerun() -> Any:
    """What the name holds that a cell is about to give to what it makes; None where there is none.

    For a constructor: in the cell `stack = Stack()`, called by Stack, the `stack` of before. The
    old one is in the notebook's history as well (`_`, `Out`), so nobody would ever collect it.
    """
    shell, frame = shell_of(), sys._getframe(2)
    if shell is None or frame.f_locals is not shell.user_ns:
        return None
    after = (i for i in dis.get_instructions(frame.f_code) if i.offset > frame.f_lasti)
    following = next((i for i in after if i.opname not in SKIPPED), None)
    stored = following is not None and following.opname == "STORE_NAME"
    return shell.user_ns.get(following.argval) if stored and following else None


SKIPPED = ("CACHE", "PRECALL", "CALL", "EXTENDED_ARG")  # of CALL itself, up to Python 3.13


def run_as_module(text: str, name: str, file: str) -> types.ModuleType:
    """Run a cell's text as the module `name`; tracebacks show its lines as `file`.

    Raises whatever it does, SyntaxError for what is not Python.
    """
    __tracebackhide__ = True
    module = types.ModuleType(name)
    run_in(module, text, file)
    return module


def run_in(module: types.ModuleType, text: str, file: str) -> None:
    """The same in a module that may have run others before."""
    __tracebackhide__ = True
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[module.__name__] = module
    exec(compile(text, file, "exec"), vars(module))
