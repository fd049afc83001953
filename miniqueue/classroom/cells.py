"""Cells: the text of a notebook cell, run as a module of its own."""

from __future__ import annotations

import linecache
import sys
import types

__all__ = ["run_as_module"]


def run_as_module(text: str, name: str, file: str, before: str = "") -> types.ModuleType:
    """Run a cell's text as the module `name`, after `before`; tracebacks show its lines as `file`.

    Raises whatever it does, SyntaxError for what is not Python.
    """
    __tracebackhide__ = True
    module = types.ModuleType(name)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module
    exec(before, vars(module))
    exec(compile(text, file, "exec"), vars(module))
    return module
