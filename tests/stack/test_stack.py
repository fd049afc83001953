"""The stack: real processes, launched, scaled, killed, frozen, and none left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from miniqueue.classroom.service import Service, free_port, listens, redis_command
from miniqueue.classroom.stack import Stack
from miniqueue.errors import StackError
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.processes import family, gone, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    settings = Settings(redis_url="", lease_s=1.0, keep_s=60)
    with Stack(2, settings=settings) as stack:
        yield stack


def test_it_answers_when_it_is_there(stack: Stack) -> None:
    reply = stack.http.post("/task", json={"name": "add", "args": [2, 3]})
    task = stack.http.get(reply.headers["location"], params={"wait_s": 5}).json()
    assert task["result"] == 5


def test_scale_up_and_down(stack: Stack) -> None:
    stack.scale(4)
    assert sum(w.alive for w in stack.inspector.workers()) >= 4
    names = [worker.name for worker in stack.workers]
    stack.scale(1)
    assert [worker.name for worker in stack.workers] == names[:1]
    wait_for(lambda: [w.id for w in stack.inspector.workers()] == names[:1])
    stack.scale(2)


def test_a_killed_worker_loses_nothing(stack: Stack) -> None:
    stack.scale(2)
    handle = stack.queue.enqueue("sleep", 0.4)
    name = wait_for(lambda: handle.get().worker) or ""
    index = [worker.name for worker in stack.workers].index(name)
    assert stack.kill_worker(index) == name
    assert handle.wait(10) == 0.4
    task = handle.get()
    assert (task.attempt, task.lost_worker) == (2, name)
    assert task.worker != name


def test_a_frozen_worker_is_overtaken_and_its_result_dropped(stack: Stack) -> None:
    stack.scale(2)
    handle = stack.queue.enqueue("sleep", 0.5)
    name = wait_for(lambda: handle.get().worker) or ""
    index = [worker.name for worker in stack.workers].index(name)
    stack.freeze_worker(index)
    handle.wait(10)
    stack.thaw_worker(index)
    assert handle.get().worker != name
    done = wait_for(lambda: stack.queue.enqueue("echo", 1).wait(5))
    assert done == 1
    assert handle.get().attempt == 2


def test_a_paused_redis_delays_and_loses_nothing(stack: Stack) -> None:
    assert stack.redis is not None
    redis = psutil.Process(stack.redis.pid)
    handle = stack.queue.enqueue("sleep", 0.2)
    with stack.redis_paused():
        wait_for(lambda: redis.status() == psutil.STATUS_STOPPED)
    assert handle.wait(10) == 0.2


def test_events_tell_what_happened(stack: Stack) -> None:
    handle = stack.queue.enqueue("echo", 1)
    handle.wait(5)
    verbs = [
        event.verb
        for event in stack.events()
        if any(mark.task_id == handle.id for mark in event.tasks)
    ]
    assert verbs == ["enqueue", "claim", "complete"]


def test_a_redis_with_an_append_only_file_comes_back_with_its_tasks() -> None:
    options = {"appendonly": "yes", "appendfsync": "always"}
    settings = Settings(redis_url="")
    with Stack(0, settings=settings, redis_options=options) as stack:
        handle = stack.queue.enqueue("add", 2, 3)
        stack.kill_redis()
        assert stack.http.post("/task").status_code == 503
        stack.start_redis()
        stack.scale(1)
        assert handle.wait(10) == 5


def test_the_api_is_killed_and_started_again(stack: Stack) -> None:
    stack.kill_api()
    with pytest.raises(httpx.TransportError):
        stack.http.get("/healthz")
    stack.start_api()
    assert stack.http.get("/healthz").status_code == 200


def test_dead_workers_are_replaced(stack: Stack) -> None:
    stack.scale(2)
    assert stack.replace_dead() == []
    name = stack.kill_worker(0)
    assert [worker.name for worker in stack.replace_dead()] == [name]
    assert len(stack.workers) == 2
    new = stack.workers[0]
    wait_for(lambda: new.name in {w.id for w in stack.inspector.workers()})
    assert new.running


def test_code_of_ones_own_runs_beside_the_others(stack: Stack) -> None:
    code = "import os, sys, time\n"
    code += "print(' '.join([os.environ['MINIQUEUE_REDIS_URL'], *sys.argv[1:]]), flush=True)\n"
    service = stack.run("mine", code + "time.sleep(60)", "a", "b")
    while not (printed := service.tail()):
        service.check()
    assert printed == f"{stack.settings.redis_url} a b"
    service.kill()
    assert service.exit_code == 128 + 9


def test_a_server_of_ones_own_is_waited_for(stack: Stack) -> None:
    port = free_port()
    late = "import http.server as h, sys, time\ntime.sleep(0.2)\n"
    late += "h.test(bind='127.0.0.1', port=int(sys.argv[1]))"
    service = stack.run("late", late, str(port))
    service.listen(port)
    assert listens(port)
    service.kill()
    with pytest.raises(StackError, match="late ended with exit code 137"):
        service.listen(port)


def test_what_cannot_be_done_is_said(stack: Stack) -> None:
    with pytest.raises(StackError, match="there is no worker 9"):
        stack.kill_worker(9)
    with pytest.raises(StackError, match="say 0 to 256"):
        stack.scale(-1)


def test_stop_ends_every_process_and_twice_is_fine() -> None:
    before = family(os.getpid())
    stack = Stack(2)
    started = [process for process in family(os.getpid()) if process not in before]
    directory = stack.directory
    assert len(started) == 8  # Redis, the API, two workers, and a supervisor of each
    stack.stop()
    stack.stop()
    assert gone(started, seconds=1)
    assert not directory.exists()
    assert repr(stack) == "<Stack, stopped>"


def test_a_dropped_stack_stops_itself() -> None:
    gc.disable()  # nothing but the last reference decides
    try:
        stack = Stack(1)
        pids = [psutil.Process(service.pid) for service in (*stack.workers, stack.api)]
        del stack
        assert gone(pids, seconds=15)
    finally:
        gc.enable()


def test_a_service_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot import 'no_such_module'"):
        Stack(1, imports=["no_such_module"])


def test_an_external_redis_gets_a_namespace_that_is_emptied(
    redis_url: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", redis_url)
    with Stack(1) as stack:
        client.raw.set("mq:other", 1)
        namespace = stack.settings.namespace
        assert namespace.startswith("stack-")
        assert stack.queue.enqueue("add", 1, 2).wait(5) == 3
        with pytest.raises(StackError, match="not launched by the stack"), stack.redis_paused():
            pass
    assert client.raw.keys() == ["mq:other"]


def test_an_external_redis_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(StackError, match="does not answer"):
        Stack(1)


def test_without_any_server_fakeredis_stands_in_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("miniqueue.classroom.service.server_binary", lambda: None)
    with pytest.warns(UserWarning, match="measure nothing with it"):
        stack = Stack(1)
    with stack:
        assert stack.queue.enqueue("add", 2, 3).wait(10) == 5
        assert stack.inspector.check() == []


SCRIPT = """
    import sys, time
    from miniqueue.classroom import Stack
    stack = Stack(1)
    print(stack.redis.pid, stack.api.pid, stack.workers[0].pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_orphan_however_the_owner_ends(number: int) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert owner.stdout is not None
    with owner.stdout as out:
        processes = [psutil.Process(int(pid)) for pid in out.readline().split()]
    assert len(processes) == 3
    owner.send_signal(number)
    owner.wait(20)
    assert gone(processes, seconds=15)


def test_a_service_in_its_own_session_ignores_our_interrupt(tmp_path: Path) -> None:
    service = Service("redis", redis_command(0, tmp_path), log=tmp_path / "log")
    assert os.getpgid(service.pid) != os.getpgid(0)
    service.ask_to_end()
    service.join()
    assert not service.running


def test_a_frozen_service_is_ended_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    service = Service("sleeper", command, log=tmp_path / "log", grace_s=0.2)
    process = psutil.Process(service.pid)
    service.signal(signal.SIGSTOP)
    service.ask_to_end()
    service.join()
    assert gone([process], seconds=5)


def test_a_command_that_does_not_exist_is_said(tmp_path: Path) -> None:
    service = Service("ghost", ["/no/such/program"], log=tmp_path / "log")
    with pytest.raises(StackError, match="ghost could not be started"):
        service.pid  # noqa: B018
    service.ask_to_end()
    service.join()
