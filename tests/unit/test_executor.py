"""executor.py: how a running function is stopped, and that nothing strikes after its end."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from miniqueue.executor import SIGNAL, Executor, Interrupted, SharedLoop
from miniqueue.registry import Registry, TaskFunction, task
from tests.processes import wait_for


@pytest.fixture
def loop() -> Iterator[SharedLoop]:
    loop = SharedLoop()
    yield loop
    loop.close()


@pytest.fixture
def executor(loop: SharedLoop) -> Executor:
    return Executor(loop)


@pytest.fixture
def main_executor(executor: Executor) -> Iterator[Executor]:
    """The executor of a worker's main thread: it strikes by signal."""
    if SIGNAL is None:
        pytest.skip("this system has no SIGUSR1")
    before = signal.getsignal(SIGNAL)
    executor.catch_signals()
    yield executor
    signal.signal(SIGNAL, before)


def function(f: Callable[..., Any]) -> TaskFunction[..., Any]:
    return task(registry=Registry(), name="job")(f)


def spin(started: threading.Event) -> None:
    """Python code that does not end by itself, and lets `except Exception` see nothing."""
    started.set()
    while True:
        try:
            time.sleep(0.001)
        except Exception as error:
            raise AssertionError("an interruption must not be an Exception") from error


def interrupt_when(
    started: threading.Event, executor: Executor, token: object, why: str
) -> threading.Thread:
    def strike() -> None:
        started.wait(5)
        executor.interrupt(token, why)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def run_in_thread(action: Callable[[], Any]) -> list[Any]:
    """What the action returned or raised, in a thread of its own."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome


def test_a_function_returns_and_raises_as_it_does(executor: Executor) -> None:
    assert executor.run(object(), function(lambda x, y: x + y), [1], {"y": 2}) == 3
    with pytest.raises(ZeroDivisionError):
        executor.run(object(), function(lambda: 1 / 0), [], {})


@pytest.mark.parametrize("why", ["timeout", "cancel", "lost", "stop"])
def test_in_another_thread_an_exception_strikes(executor: Executor, why: str) -> None:
    started, token = threading.Event(), object()
    striker = interrupt_when(started, executor, token, why)
    (error,) = run_in_thread(lambda: executor.run(token, function(spin), [started], {}))
    striker.join()
    assert isinstance(error, Interrupted)
    assert error.why == why
    assert 0 <= error.late_s < 2


@pytest.mark.parametrize("why", ["timeout", "cancel"])
def test_in_the_main_thread_a_signal_ends_even_a_sleep(main_executor: Executor, why: str) -> None:
    started, token, ended = threading.Event(), object(), threading.Event()

    def nap() -> None:
        started.set()
        time.sleep(8)

    def keep() -> None:
        """As a worker's keeper: again and again, since a signal just before the sleep is lost."""
        started.wait(5)
        while not ended.wait(0.05):
            main_executor.interrupt(token, why)

    began = time.monotonic()
    keeper = threading.Thread(target=keep)
    keeper.start()
    with pytest.raises(Interrupted) as raised:
        main_executor.run(token, function(nap), [], {})
    ended.set()
    keeper.join()
    assert raised.value.why == why
    assert time.monotonic() - began < 4


def test_a_function_that_cleans_up_is_struck_once(main_executor: Executor) -> None:
    started, token, ended = threading.Event(), object(), threading.Event()

    def job() -> None:
        started.set()
        try:
            time.sleep(8)
        finally:
            time.sleep(0.3)  # the keeper goes on asking
            ended.set()

    def keep() -> None:
        started.wait(5)
        while not ended.wait(0.02):
            main_executor.interrupt(token, "timeout")

    keeper = threading.Thread(target=keep)
    keeper.start()
    with pytest.raises(Interrupted):
        main_executor.run(token, function(job), [], {})
    assert ended.is_set()
    keeper.join()


def test_a_coroutine_is_cancelled_at_its_await(executor: Executor) -> None:
    started, token, cleaned = threading.Event(), object(), threading.Event()

    async def nap() -> None:
        started.set()
        try:
            await asyncio.sleep(8)
        finally:
            cleaned.set()

    striker = interrupt_when(started, executor, token, "cancel")
    with pytest.raises(Interrupted) as raised:
        executor.run(token, function(nap), [], {})
    striker.join()
    assert raised.value.why == "cancel"
    assert cleaned.is_set()


def test_coroutine_functions_share_one_loop(executor: Executor, loop: SharedLoop) -> None:
    async def where() -> int:
        return id(asyncio.get_running_loop())

    other = Executor(loop)
    first = executor.run(object(), function(where), [], {})
    assert first == other.run(object(), function(where), [], {})


def test_a_closed_loop_leaves_no_thread_and_no_socket(executor: Executor, loop: SharedLoop) -> None:
    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    used: asyncio.AbstractEventLoop = executor.run(object(), function(where), [], {})
    loop.close()
    wait_for(used.is_closed, 2)


def test_a_coroutine_that_cancels_itself_is_an_error_of_its_own(executor: Executor) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="not by the queue"):
        executor.run(object(), function(give_up), [], {})


def test_another_run_is_not_struck(executor: Executor) -> None:
    started, let_go = threading.Event(), threading.Event()

    def job() -> str:
        started.set()
        let_go.wait(5)
        return "whole"

    def strike() -> None:
        started.wait(5)
        executor.interrupt(object(), "timeout")  # the token of a run that is over
        let_go.set()

    striker = threading.Thread(target=strike)
    striker.start()
    assert run_in_thread(lambda: executor.run(object(), function(job), [], {})) == ["whole"]
    striker.join()


def test_an_interruption_after_the_end_does_nothing(main_executor: Executor) -> None:
    token = object()
    assert main_executor.run(token, function(lambda: 1), [], {}) == 1
    main_executor.interrupt(token, "timeout")
    assert main_executor.run(object(), function(lambda: 2), [], {}) == 2


def test_only_the_first_interruption_strikes(executor: Executor) -> None:
    started, token = threading.Event(), object()

    def stubborn() -> str:
        try:
            spin(started)
        except BaseException:
            executor.interrupt(token, "cancel")  # comes while the first one is being answered
            for _ in range(1000):
                pass
        return "cleaned up"

    striker = interrupt_when(started, executor, token, "timeout")
    outcome = run_in_thread(lambda: executor.run(token, function(stubborn), [], {}))
    striker.join()
    assert outcome == ["cleaned up"]


class _Paused(Executor):
    """An executor whose striker is stopped between its look and its strike."""

    def __init__(self, loop: SharedLoop) -> None:
        self.token: object = None
        self.looked, self.ended = threading.Event(), threading.Event()
        super().__init__(loop)

    @property
    def _running(self) -> object:
        found = self.token
        if threading.current_thread().name == "striker":
            self.looked.set()
            self.ended.wait(0.5)
        return found

    @_running.setter
    def _running(self, token: object) -> None:
        self.token = token


def test_nothing_strikes_after_the_run_has_ended(loop: SharedLoop) -> None:
    executor, token = _Paused(loop), object()

    def job() -> None:
        threading.Thread(target=executor.interrupt, args=(token, "timeout"), name="striker").start()
        executor.looked.wait(5)

    def lane() -> str:
        try:
            executor.run(token, function(job), [], {})
        except Interrupted as struck:  # in time: that is what it is for
            return f"in the run: {struck.why}"
        executor.ended.set()
        end = time.monotonic() + 0.7
        while time.monotonic() < end:  # the lane's own code, which nothing may strike
            time.sleep(0.001)
        return "after the run: nothing"

    (outcome,) = run_in_thread(lane)
    assert outcome in ("in the run: timeout", "after the run: nothing")


def test_ends_and_strikes_that_race_leave_the_thread_alone(executor: Executor) -> None:
    """Many runs that end about when they are struck; the lane around them goes on."""
    tokens: list[object] = [object()]
    done = threading.Event()

    def strike() -> None:
        while not done.is_set():
            executor.interrupt(tokens[-1], "timeout")

    def lane() -> int:
        count = struck = 0
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            tokens.append(object())
            try:
                executor.run(tokens[-1], function_that_is_short, [], {})
            except Interrupted:
                struck += 1
            count += 1
        return count if struck else 0

    function_that_is_short = function(lambda: sum(range(20)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    striker = threading.Thread(target=strike)
    striker.start()
    try:
        (outcome,) = run_in_thread(lane)
    finally:
        done.set()
        striker.join()
        sys.setswitchinterval(interval)
    assert isinstance(outcome, int), f"the lane was struck: {outcome!r}"
    assert outcome > 100
