"""No process outlives a kernel, and the stop button ends a cell and nothing else.

Real kernels, real stacks. Each kernel gets a folder for temporary files that no other has. Whatever
it starts inherits the variable, or works inside that folder (Redis, which overwrites its
environment with its title), and is found so, whatever session or parent it ends up with. That no
process outlives a notebook is looked at where nbval runs them (notebooks/conftest.py).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.processes import marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform == "win32", reason="no signals and no environ there"),
]
FOLDER = Path(__file__).parents[2] / "notebooks"
START = """
from miniqueue import Settings
from miniqueue.classroom import Stack
stack = Stack(workers=2, settings=Settings(redis_url=""))
"""
SERVICES = 4  # Redis, API, two workers; each has a supervisor


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The folder by which the processes of this test are found."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MINIQUEUE_CI", "1")
    return str(tmp_path)


@pytest.fixture
def kernel(mark: str) -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(FOLDER))
    yield manager
    if manager.is_alive():
        manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.fixture
def client(kernel: KernelManager) -> Iterator[BlockingKernelClient]:
    client = kernel.client()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    yield client
    client.stop_channels()


def wait_for(predicate: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def run(client: BlockingKernelClient, code: str) -> str:
    """Run a cell; gives what it printed, raises what it raised."""
    printed: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        printed.append(message["content"].get("text", ""))

    reply = client.execute_interactive(code, timeout=40, output_hook=keep, store_history=False)
    assert reply["content"]["status"] == "ok", reply["content"].get("traceback")
    return "".join(printed)


def test_the_stop_button_ends_the_cell_and_not_the_stack(
    kernel: KernelManager, client: BlockingKernelClient, mark: str
) -> None:
    run(client, START)
    before = {process.pid for process in marked(mark)}
    assert len(before) == 1 + 2 * SERVICES
    # stop_on_error: the kernel would abort whatever comes in the instant after the error
    asked = client.execute("print('begun')\nwhile True: pass", stop_on_error=False)
    while (said := client.get_iopub_msg(timeout=10))["content"].get("text") != "begun\n":
        pass
    assert said["parent_header"]["msg_id"] == asked
    kernel.interrupt_kernel()
    assert client.get_shell_msg(timeout=10)["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "print(stack)") == "<Stack: Redis, API and 2 workers>\n"
    assert run(client, "print(stack.queue.enqueue('add', 2, 3).wait(timeout_s=10))") == "5\n"
    assert {process.pid for process in marked(mark)} == before


@pytest.mark.parametrize("how", ["shutdown", "restart", "SIGKILL"])
def test_the_stack_ends_with_the_kernel(
    kernel: KernelManager, client: BlockingKernelClient, mark: str, how: str
) -> None:
    run(client, START)
    stack = [p for p in marked(mark) if "ipykernel" not in " ".join(p.cmdline())]
    assert len(stack) == 2 * SERVICES
    if how == "shutdown":
        kernel.shutdown_kernel()
    elif how == "restart":
        kernel.restart_kernel()
    else:
        (pid,) = {p.pid for p in marked(mark)} - {p.pid for p in stack}
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not any(p.is_running() for p in stack), 15), [
        p.cmdline() for p in marked(mark)
    ]
