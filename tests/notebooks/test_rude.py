"""What nobody should do and everybody does: cells run twice, out of order, stopped in the middle.

Each gives one sentence or the learner's own traceback, never a library's, and leaves no process.
MINIQUEUE_RUDE=1 runs the cells of every notebook so, which takes a quarter of an hour.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebooks.rudely import IMPORT, WAYS, Kernel, Shown, code_of, deep, kernel
from tests.processes import marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform == "win32", reason="no signals and no environ there"),
]
FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
START = """
%load_ext miniqueue
from miniqueue import Settings
from miniqueue.classroom import Stack, charts, off
stack = Stack(workers=1, settings=Settings(redis_url=""))
stack
"""
TASK = """%%tasks
@task
def double(x):
    return 2 * x
"""
PRESS = """
import os, signal, sys
class Press:  # asked where a module is: the learner presses stop when numpy is half imported
    def find_spec(self, name, path, target=None):
        if name == "numpy.linalg":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
"""
AWAY = "run its start cell"


class Notebook:
    """A kernel in which cells are run one after another; `run` gives what the last one showed."""

    def __init__(self, made: Kernel) -> None:
        self.kernel = made
        self.count = 0

    def run(self, text: str, stop_after_s: float | None = None) -> Shown:
        self.count += 1
        shown = self.kernel.run(self.count, text, text.strip(), stop_after_s)
        assert not deep([shown]), str(shown)
        return shown


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    with kernel(FOLDER) as made:  # at the end no process may be left
        yield Notebook(made)


def test_a_start_cell_and_a_stop_cell_in_any_order(notebook: Notebook) -> None:
    assert "name 'stack' is not defined" in notebook.run("stack.scale(2)").error
    assert not notebook.run(START).error
    mark = notebook.kernel.mark
    before = {process.pid for process in marked(mark)}
    again = notebook.run(START)
    assert again.printed.endswith("the stack that ran before has been stopped\n")
    assert len({process.pid for process in marked(mark)} & before) == 1  # the kernel
    assert len(marked(mark)) == len(before)
    for text in ("stack.stop()", "stack.stop()"):
        assert not notebook.run(text).error
    for text in (
        "stack.scale(2)", "stack.http.get('/stats')", "stack.queue.enqueue('add', 2, 3)",
        "stack.inspector.workers()", "stack.events()", "stack.kill_worker(0)", "stack.start_api()",
        "stack.define('m', '')", "stack.run('a', '')", "stack.kill_redis()", "stack.replace_dead()",
    ):  # fmt: skip
        error = notebook.run(text).error
        assert AWAY in error, error
        assert len(error.splitlines()) == 2
    assert "no stack is running" in notebook.run(TASK).printed


def test_the_stop_button_in_the_middle_of_everything(notebook: Notebook) -> None:
    for text, after_s in (
        (IMPORT, None),
        (START, 0.3), (START, 1.0), (START, None),
        (TASK, 0.3), (TASK, None), (TASK.replace("2 * x", "3 * x"), 0.6),
        ("stack.queue.enqueue('sleep', 2).wait()", 0.2),
        ("stack.scale(4)", 0.2), ("stack.scale(1)", None),
        ("import asyncio\nwhile True:\n    await asyncio.sleep(0.05)", 0.2),
        ("import time\ndef wait():\n    time.sleep(60)\nwait()", 0.2),
    ):  # fmt: skip
        shown = notebook.run(text, after_s)
        if shown.error:
            assert "this cell was stopped in the middle." in shown.error
            assert len(shown.error.splitlines()) <= 2
    assert notebook.run("print(double(4))").printed in ("8\n", "12\n")
    ran = notebook.run("print(stack.queue.enqueue('double', 4).wait(timeout_s=20) == double(4))")
    assert ran.printed == "True\n"
    notebook.run("stack.stop()", 0.1)
    assert not notebook.run(START).error


def test_the_stop_button_in_the_first_import(notebook: Notebook) -> None:
    notebook.run(PRESS)
    assert "this cell was stopped in the middle." in notebook.run(START).error
    assert not notebook.run(START).error


def test_errors_are_one_sentence_and_the_learners_own_keep_their_traceback(
    notebook: Notebook,
) -> None:
    notebook.run(START)
    for text, told in (
        ("stack.queue.enqueue('nothing')", "UnknownFunction: no task function is called 'nothing'"),
        ("stack.scale(1000)", "StackError: cannot run 1000 workers: say 0 to 256"),
        ("off(None, 3)", "GuessError: your guess should be a number, and is None"),
        ("stack.queue.enqueue('fail').wait(timeout_s=20)", "it fails, as asked"),
        ("stack.kill_api(); stack.http.get('/stats')", "ConnectError: nobody answers"),
    ):
        error = notebook.run(text).error
        assert told in error
        assert f"line 1: {text.partition('; ')[2] or text}" in error or "kill_api" in text
    own = notebook.run("def f(x):\n    return 1 / x\n\nf(0)").error
    assert "Cell In[" in own
    assert "in f(x)" in own
    assert "ZeroDivisionError: division by zero" in own
    inside = notebook.run("import json\njson.loads('{')").error
    assert "----> 2 json.loads('{')" in inside
    assert "what lies inside Python's own library is left out: %tb shows it" in inside
    assert "`unknown` may be made by a cell above" in notebook.run("unknown").error
    raw = "redis = stack.queue.client.raw\nstack.stop()\nredis.get('x')"
    assert "ConnectionError: the stack has been stopped" in notebook.run(raw).error


@pytest.mark.skipif(not os.environ.get("MINIQUEUE_RUDE"), reason="a quarter of an hour")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_bears_it(path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIQUEUE_CI", "1")
    with kernel(FOLDER) as made:
        shown = WAYS[how](made, code_of(path))
    assert not deep(shown), "\n\n".join(map(str, deep(shown)))
