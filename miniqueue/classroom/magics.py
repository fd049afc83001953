"""Magics: `%load_ext miniqueue`, then cells that begin with %%tasks or %%answer.

    %%tasks
    @task
    def invoice(order): ...

Workers cannot see a notebook's variables, so a %%tasks cell is run as what it becomes for them: a
part of one module, which has the cells before it, too. Its text is written where the workers of the
running stack find it, and they are replaced gracefully. An error in the cell is shown in the cell,
and notebook and workers keep what they have.
"""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterable, Iterator
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class

from miniqueue.classroom.cells import run_in
from miniqueue.classroom.labs import ANSWERS, folder_of
from miniqueue.classroom.stack import Stack
from miniqueue.classroom.tracebacks import install
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
        self._module = types.ModuleType(MODULE)  # what they become together
        exec(USUAL, vars(self._module))
        install()

    @cell_magic
    def tasks(self, line: str, cell: str) -> None:
        """Define task functions, and have the workers of the stack pick them up.

        `%%tasks NAME` says which stack, where a notebook runs several.
        """
        __tracebackhide__ = True
        stack = self._stack(line.strip())
        space = vars(self._module)
        before = dict(space)
        try:
            names, cells = self._added(cell)
            stack.define(MODULE, "\n\n".join([USUAL, *cells.values()]))
        except BaseException as error:
            space.clear()
            space.update(before)
            if isinstance(error, MiniQueueError):
                raise UsageError(str(error)) from None
            raise
        self._cells = cells
        self._space.update({name: space[name] for name in _made_by(cell) if name in space})
        count = len(stack.workers)
        print(f"{count} worker{'' if count == 1 else 's'} can run: {', '.join(sorted(names))}")

    def _added(self, cell: str) -> tuple[frozenset[str], dict[frozenset[str], str]]:
        """Run a cell in the module; gives its task functions, and all cells by theirs.

        It replaces a cell that has defined one of them, at its place.
        """
        __tracebackhide__ = True
        _run(cell, self._module)
        made = _made_by(cell)
        names = frozenset(_functions(self._module, made))
        if not names:
            raise UsageError("no task function in this cell: write @task above one")
        at = next((i for i, old in enumerate(self._cells) if old & names), len(self._cells))
        cells = [(old, text) for old, text in self._cells.items() if not old & names]
        cells.insert(at, (names, cell))
        for name in _all_made(self._cells.values()) - _all_made(text for _, text in cells):
            vars(self._module).pop(name, None)
        if strange := sorted(set(_strangers(self._module, made))):
            print(f"note: workers do not know {', '.join(strange)}: define it in this cell")
        return names, dict(cells)

    @cell_magic
    def answer(self, line: str, cell: str) -> None:
        """The answer to a lab: `%%answer 01`. check("01") judges the last one that was run."""
        __tracebackhide__ = True
        try:
            folder = folder_of(line.strip())
        except MiniQueueError as error:
            raise UsageError(str(error)) from None
        ANSWERS[folder.name[:2]] = cell
        module = types.ModuleType(f"answer_{folder.name[:2]}")
        _run(cell, module)
        own = {name: value for name, value in vars(module).items() if not name.startswith("__")}
        self._space.update(own)

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


def _run(text: str, module: types.ModuleType) -> None:
    """Run a cell in the module that it becomes a part of."""
    __tracebackhide__ = True
    file = f"<%%{module.__name__}>"
    try:
        run_in(module, text, file)
    except SyntaxError as error:
        if error.filename != file:  # of something that the cell imports
            raise
        told = f"{error.msg}, line {error.lineno} of this cell: {(error.text or '').strip()}"
        raise UsageError(told) from None


def _functions(module: types.ModuleType, made: set[str]) -> Iterator[str]:
    """The names of the task functions among what a cell has made."""
    for name in made:
        value = vars(module).get(name)
        if isinstance(value, TaskFunction) and value.function.__module__ == module.__name__:
            yield value.name


def _strangers(module: types.ModuleType, made: set[str]) -> Iterator[str]:
    """Names that the functions of a cell look up, and that the module does not have."""
    known = {*vars(module), *vars(builtins)}
    for name in made:
        value = vars(module).get(name)
        function = value.function if isinstance(value, TaskFunction) else value
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
            yield from (name for name in _looked_up(function.__code__) if name not in known)


def _made_by(cell: str) -> set[str]:
    """The names that a cell defines."""
    code = compile(cell, "", "exec")
    return {str(i.argval) for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}


def _all_made(cells: Iterable[str]) -> set[str]:
    return {name for cell in cells for name in _made_by(cell)}


def _looked_up(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _looked_up(constant)
