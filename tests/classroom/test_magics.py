"""%%tasks cells reach running workers, %%answer cells the grader; wrong ones say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from miniqueue import load_ipython_extension
from miniqueue.classroom import Stack, labs, shows
from miniqueue.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40)]
EARLIER = """
import time
rate = 3

def bank(order):
    return rate * order

@task
def earlier():
    return time.time()
"""
LATER = """
@task
def sell(order):
    return bank(order)
"""
SINGLE = "@task\ndef single(x):\n    return x\n"
DOUBLE = "@task\ndef double(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(workers=2, settings=Settings(redis_url="")) as stack:
        yield stack


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    load_ipython_extension(shell)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def notebook(shell: InteractiveShell, stack: Stack) -> InteractiveShell:
    """A shell in which a stack runs."""
    shell.user_ns["stack"] = stack
    return shell


@pytest.fixture
def still(shell: InteractiveShell) -> Iterator[InteractiveShell]:
    """A shell in which a stack without workers runs: nobody has to be replaced."""
    with Stack(workers=0, settings=Settings(redis_url="")) as stack:
        shell.user_ns["stack"] = stack
        yield shell


def tasks(shell: InteractiveShell, cell: str, line: str = "") -> None:
    magic(shell, "tasks", line, cell)


def magic(shell: Any, *words: str) -> None:
    shell.run_cell_magic(*words)


def ran(stack: Stack, name: str, *args: Any) -> Any:
    return stack.queue.enqueue(name, *args).wait(timeout_s=20)


def test_running_workers_pick_up_what_a_cell_defines(
    notebook: InteractiveShell, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks(notebook, DOUBLE)
    assert capsys.readouterr().out == "2 workers can run: double\n"
    assert ran(stack, "double", 4) == 8
    assert notebook.user_ns["double"](4) == 8  # a plain function in the notebook
    assert len(stack.workers) == 2


def test_a_cell_that_is_run_again_replaces_what_it_defined(
    notebook: InteractiveShell, stack: Stack
) -> None:
    tasks(notebook, SINGLE)
    tasks(notebook, DOUBLE)
    tasks(notebook, DOUBLE.replace("2 * x", "22 * x"))
    assert ran(stack, "double", 4) == 88
    assert ran(stack, "single", 4) == 4  # of another cell


def test_what_runs_is_finished_by_the_worker_that_runs_it(
    notebook: InteractiveShell, stack: Stack
) -> None:
    tasks(notebook, "import time\n\n@task\ndef slow():\n    time.sleep(1)\n    return 1\n")
    handles = [stack.queue.enqueue("slow") for _ in range(2)]
    while any(handle.state != "running" for handle in handles):
        pass
    tasks(notebook, SINGLE)
    assert [handle.wait(timeout_s=20) for handle in handles] == [1, 1]
    assert [handle.get().attempt for handle in handles] == [1, 1]


@pytest.mark.parametrize(
    ("cell", "error", "told"),
    [
        ("@task\ndef double(:\n", UsageError, "invalid syntax, line 2 of this cell: def double"),
        ("import no_such_module\n" + DOUBLE, ModuleNotFoundError, "no_such_module"),
        ("x = 1\n", UsageError, "no task function in this cell: write @task above one"),
    ],
)
def test_an_error_in_the_cell_is_shown_and_workers_keep_what_they_have(
    notebook: InteractiveShell, stack: Stack, cell: str, error: type[Exception], told: str
) -> None:
    tasks(notebook, SINGLE)
    before = [worker.name for worker in stack.workers]
    with pytest.raises(error, match=told):
        tasks(notebook, cell)
    assert [worker.name for worker in stack.workers] == before
    assert ran(stack, "single", 5) == 5


def test_a_module_that_workers_cannot_import_changes_nothing(
    notebook: InteractiveShell, stack: Stack
) -> None:
    tasks(notebook, SINGLE)
    before = [worker.name for worker in stack.workers]
    only_here = "import os\nassert not os.environ.get('MINIQUEUE_REDIS_URL')\n" + DOUBLE
    with pytest.raises(UsageError, match="ended with exit code 1"):
        tasks(notebook, only_here)
    assert [worker.name for worker in stack.workers] == before
    assert ran(stack, "single", 6) == 6


def test_names_that_workers_do_not_know_are_told(
    notebook: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks(notebook, "@task\ndef priced(x):\n    return x * PRICE\n")
    assert "note: workers do not know PRICE: define it in this cell" in capsys.readouterr().out


def test_a_later_cell_may_use_what_an_earlier_one_defines(
    still: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks(still, EARLIER)
    tasks(still, LATER.replace("bank(order)", "bank(order) + price"))
    assert "note: workers do not know price: define it" in capsys.readouterr().out
    tasks(still, LATER)
    assert "note" not in capsys.readouterr().out
    assert still.user_ns["sell"](4) == 12  # in the notebook, where nobody imports the module
    tasks(still, EARLIER.replace("rate = 3", "rate = 5"))
    stack = still.user_ns["stack"]
    stack.scale(1)
    assert still.user_ns["sell"](4) == ran(stack, "sell", 4) == 20
    stack.scale(0)
    tasks(still, EARLIER.replace("bank", "safe"))
    with pytest.raises(NameError, match="bank"):
        still.user_ns["sell"](4)


def test_a_cell_that_fails_leaves_the_notebook_as_it_was(still: InteractiveShell) -> None:
    tasks(still, EARLIER)
    tasks(still, LATER)
    with pytest.raises(ZeroDivisionError):
        tasks(still, EARLIER.replace("rate = 3", "rate = 7") + "1 / 0\n")
    assert still.user_ns["sell"](4) == 12


def test_the_stack_must_be_clear(shell: InteractiveShell, stack: Stack) -> None:
    with pytest.raises(UsageError, match="no stack is running"):
        tasks(shell, DOUBLE)
    with pytest.raises(UsageError, match="'mine' is not a Stack of this notebook"):
        tasks(shell, DOUBLE, "mine")
    with Stack(workers=0, settings=Settings(redis_url=stack.settings.redis_url)) as other:
        shell.user_ns.update(stack=stack, other=other, same=stack)
        with pytest.raises(UsageError, match="several stacks are running: say which one"):
            tasks(shell, DOUBLE)
        tasks(shell, DOUBLE, "stack")
    assert ran(stack, "double", 1) == 2


def test_an_answer_is_kept_for_the_grader_and_may_be_tried_out(shell: InteractiveShell) -> None:
    magic(shell, "answer", "01", "def work(redis, worker, run):\n    return 7\n")
    assert labs.ANSWERS["01"].startswith("def work")
    assert shell.user_ns["work"](None, None, None) == 7
    with pytest.raises(UsageError, match="there is no lab 99: there are 01"):
        magic(shell, "answer", "99", "x = 1")


def test_things_show_themselves(notebook: InteractiveShell, stack: Stack) -> None:
    shows.install()
    handle = stack.queue.enqueue("add", 2, 3)
    handle.wait(timeout_s=20)

    def shown(thing: Any) -> Any:
        return notebook.display_formatter.format(thing)[0]  # type: ignore[union-attr]

    for thing in (handle, handle.get(), [handle], stack.inspector.tasks("succeeded").tasks):
        assert "add(2, 3)" in shown(thing)["text/html"]
        assert "succeeded" in shown(thing)["text/plain"]
    assert "<th" in shown(stack.inspector.workers())["text/html"]
    assert "waiting" in shown(stack.queue)["text/plain"]
    timeline = shown(stack.inspector.timeline(handle.id))["text/plain"].split("\n")
    assert [line.split()[1] for line in timeline[1:]] == ["enqueue", "claim", "complete"]
    assert shown([1, "<b>"])["text/plain"] == "[1, '<b>']"
    assert "text/html" not in shown([1, "<b>"])


def test_a_table_escapes_and_has_an_end() -> None:
    table = shows.Table(("a",), [("<b>",)] * 60)
    assert "&lt;b&gt;" in table._repr_html_()
    assert repr(table).endswith("and 10 more")


def test_a_stack_links_to_its_dashboard_also_through_a_hub(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = stack._repr_html_()
    assert f"<a href='{stack.url}/' target='_blank'>dashboard</a>" in html
    assert f"<iframe src='{stack.url}/'" in html
    assert "dashboard" in stack.http.get("/").text
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    port = stack.url.rpartition(":")[2]
    assert f"<iframe src='/user/ada/proxy/{port}/'" in stack._repr_html_()
    assert shows.stack_as_html("Stack, stopped", "") == "Stack, stopped"
