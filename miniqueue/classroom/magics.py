"""Magics: `%load_ext miniqueue`, then cells that begin with %%tasks or %%answer.

    %%tasks
    @task
    def invoice(order): ...

Workers cannot see a notebook's variables, so a %%tasks cell is run as what it becomes for them: a
module. Its text is written where the workers of the running stack find it, and they are replaced
gracefully. An error in the cell is shown in the cell, and the workers keep what they have.
"""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterable, Iterator
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class

from miniqueue.classroom.cells import run_as_module
from miniqueue.classroom.labs import ANSWERS, folder_of
from miniqueue.classroom.stack import Stack
from miniqueue.errors import MiniQueueError
from miniqueue.registry import TaskFunction

__all__ = ["TaskMagics"]

MODULE = "notebook_tasks"
USUAL = "from miniqueue import Context, Fail, Retry, task\n"  # what every cell may use


@magics_class
class TaskMagics(Magics):
    """The two kinds of cells."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._space: dict[str, Any] = shell.user_ns
        self._cells: dict[frozenset[str], str] = {}  # by the names of their task functions

    @cell_magic
    def tasks(self, line: str, cell: str) -> None:
        """Define task functions, and have the workers of the stack pick them up.

        `%%tasks NAME` says which stack, where a notebook runs several.
        """
        __tracebackhide__ = True
        stack = self._stack(line.strip())
        module = _run(cell, MODULE, USUAL)
        names = frozenset(_functions(module))
        if not names:
            raise UsageError("no task function in this cell: write @task above one")
        kept = {old: text for old, text in self._cells.items() if not old & names}
        if strange := sorted(set(_strangers(module)) - _made_by(kept.values())):
            print(f"note: workers do not know {', '.join(strange)}: define it in this cell")
        self._cells = {**kept, names: cell}
        self._space.update(_defined(module))
        try:
            stack.define(MODULE, "\n\n".join([USUAL, *self._cells.values()]))
        except MiniQueueError as error:
            raise UsageError(str(error)) from None
        count = len(stack.workers)
        print(f"{count} worker{'' if count == 1 else 's'} can run: {', '.join(sorted(names))}")

    @cell_magic
    def answer(self, line: str, cell: str) -> None:
        """The answer to a lab: `%%answer 01`. check("01") judges the last one that was run."""
        __tracebackhide__ = True
        try:
            folder = folder_of(line.strip())
        except MiniQueueError as error:
            raise UsageError(str(error)) from None
        ANSWERS[folder.name[:2]] = cell
        self._space.update(_defined(_run(cell, f"answer_{folder.name[:2]}")))

    def _stack(self, name: str) -> Stack:
        space = self._space
        if name:
            if isinstance(stack := space.get(name), Stack):
                return stack
            raise UsageError(f"{name!r} is not a Stack of this notebook")
        running = {id(v): v for v in space.values() if isinstance(v, Stack) and v.running}
        if not running:
            raise UsageError("no stack is running: run the cell with `stack = Stack(...)` first")
        if len(running) > 1:
            raise UsageError("several stacks are running: say which one, `%%tasks stack`")
        (stack,) = running.values()
        return stack


def _run(text: str, name: str, before: str = "") -> types.ModuleType:
    """Run a cell as the module that it becomes for workers."""
    __tracebackhide__ = True
    file = f"<%%{name}>"
    try:
        return run_as_module(text, name, file, before)
    except SyntaxError as error:
        if error.filename != file:  # of something that the cell imports
            raise
        told = f"{error.msg}, line {error.lineno} of this cell: {(error.text or '').strip()}"
        raise UsageError(told) from None


def _defined(module: types.ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


def _functions(module: types.ModuleType) -> list[str]:
    return [
        value.name
        for value in vars(module).values()
        if isinstance(value, TaskFunction) and value.function.__module__ == module.__name__
    ]


def _strangers(module: types.ModuleType) -> Iterator[str]:
    """Names that the functions of a module look up and that it does not have."""
    known = {*vars(module), *vars(builtins)}
    for value in vars(module).values():
        function = value.function if isinstance(value, TaskFunction) else value
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
            yield from (name for name in _looked_up(function.__code__) if name not in known)


def _made_by(cells: Iterable[str]) -> set[str]:
    """Names that these cells define: they become one module with the cell that comes after them."""
    return {
        str(instruction.argval)
        for cell in cells
        for instruction in dis.get_instructions(compile(cell, "", "exec"))
        if instruction.opname == "STORE_NAME"
    }


def _looked_up(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _looked_up(constant)
