"""How a task function runs, and how it is told to stop.

A plain function runs in the lane's own thread, a coroutine function on one event loop that all
lanes of the process share. `interrupt()` comes from another thread:

- a plain function in the main thread is struck by a signal, which also ends sleeps and socket
reads;
- in another thread an exception is set in it, which strikes at its next bytecode: C code that does
  not come back to Python cannot be interrupted, and the error of the task says so;
- a coroutine is cancelled at its next await.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any

from miniqueue.registry import TaskFunction

__all__ = ["Executor", "Interrupted"]

SIGNAL = getattr(signal, "SIGUSR1", None)


class Interrupted(BaseException):
    """Strikes in the task function; not an Exception, so that `except Exception` lets it pass.

    `why` is timeout, cancel, lost or stop; `late_s` is how long it took to strike, in seconds.
    """

    def __init__(self, why: str = "stop", late_s: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.late_s = late_s


class SharedLoop:
    """An event loop in a thread of its own, started at the first coroutine function."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None


class Executor:
    """Runs one function at a time, for one lane, in the thread that calls run()."""

    def __init__(self, loop: SharedLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._running: object = None  # the token of the run that interrupt() may strike
        self._why = ""
        self._has_struck = False
        self._is_async = False
        self._task: asyncio.Task[Any] | None = None
        self._thread = 0
        self._by_signal = False
        self._asked_at = 0.0  # monotonic

    def run(self, token: object, function: TaskFunction[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the function. Raises what it raises, or Interrupted."""
        self._thread = threading.get_ident()
        self._why, self._has_struck = "", False
        self._is_async = function.is_async
        self._running = token
        try:
            try:
                if function.is_async:
                    return self._run_async(function.function(*args, **kwargs))
                return function.function(*args, **kwargs)
            finally:
                self._settle()
        except Interrupted:  # struck as a bare class, perhaps only in the finally
            raise Interrupted(self._why, time.monotonic() - self._asked_at) from None

    def interrupt(self, token: object, why: str) -> None:
        """Ask the run of this token to stop; does nothing if it has ended. The first `why` counts.

        Call it again while the run goes on: a signal that arrives in the instant before a system
        call does not interrupt that call. It strikes once all the same, so a function can clean up.
        """
        with self._lock:
            if self._running is not token:
                return
            first = not self._why
            if first:
                self._why, self._asked_at = why, time.monotonic()
            if self._by_signal and SIGNAL is not None and not self._is_async:
                signal.pthread_kill(self._thread, SIGNAL)
            elif first:
                self._strike()

    def _strike(self) -> None:
        if not self._is_async:
            _set_exception(self._thread, Interrupted)
        elif self._task is not None:
            self._loop.get().call_soon_threadsafe(self._task.cancel)

    def catch_signals(self) -> None:
        """Strike by signal from now on; only for the executor of the main thread."""
        if SIGNAL is not None:
            signal.signal(SIGNAL, self._struck)
            self._by_signal = True

    def _struck(self, signum: int, frame: FrameType | None) -> None:
        if self._running is not None and self._why and not self._is_async and not self._has_struck:
            self._has_struck = True
            raise Interrupted(self._why)

    def _settle(self) -> None:
        if self._by_signal:  # the handler runs in this thread and looks at _running
            self._running = None
            return
        with self._lock:  # an interrupt() that has begun is over now
            self._running = None
        if self._why:
            _set_exception(self._thread, None)  # take back what has not struck yet

    def _run_async(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(self._tracked(coroutine), self._loop.get())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._why:
                raise Interrupted(self._why) from None
            raise RuntimeError("the coroutine was cancelled, not by the queue") from None
        finally:
            self._task = None

    async def _tracked(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._task = asyncio.current_task()
        if self._why:  # interrupted before it began
            coroutine.close()
            raise asyncio.CancelledError
        return await coroutine


def _set_exception(thread: int, kind: type[BaseException] | None) -> None:
    import ctypes  # few workers ever need it

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind)
    )
