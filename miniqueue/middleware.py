"""Middleware: small classes that watch tasks, so that the worker does not become a pile of flags.

    class Timing(Middleware):
        def after(self, run, ended):
            print(run.task.name, run.run_ms)

    Worker(queue, middlewares=[Timing()])

Our own log capture, rate limits, metrics (metrics.py) and traces (tracing.py) are four of them.
"""

from __future__ import annotations

import contextvars
import io
import logging
import sys
from typing import IO

from miniqueue.outcome import Run
from miniqueue.protocol.records import Completion, Failure
from miniqueue.queue import Queue

__all__ = ["CURRENT", "Capture", "Middleware", "Outcome", "RateLimit"]

Outcome = Completion | Failure | None


class Middleware:
    """Override what you need. It runs in the worker, once a task: keep it short."""

    def before(self, run: Run) -> int:
        """A task is about to start; give ms by which to put it off, 0 to let it start.

        An exception here fails the attempt as if the function had raised it.
        """
        return 0

    def after(self, run: Run, ended: Outcome) -> None:
        """A run is over; `ended` is None where another attempt owns the task, or it is handed back.

        Not called for a task that was put off. An exception here is logged and changes nothing.
        """


class RateLimit(Middleware):
    """Functions with a `rate` start evenly spaced, over all workers: the starts are dealt by
    Redis.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def before(self, run: Run) -> int:
        task, handling = run.task, run.handling
        if handling.rate is None:
            return 0
        interval_ms = handling.interval_ms
        if task.slot and run.started_ms - task.slot <= interval_ms:  # its start is now
            return 0  # ... and not one that passed while the queue was paused
        return self._queue.client.run(self._queue.protocol.reserve(task.name, interval_ms))


CURRENT: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)


class Capture(Middleware):
    """What a task function prints or logs is kept with its task, and still printed."""

    def before(self, run: Run) -> int:
        CURRENT.set(run)
        return 0

    def after(self, run: Run, ended: Outcome) -> None:
        run.end_line()
        CURRENT.set(None)

    @staticmethod
    def install() -> None:
        """Listen to sys.stdout and to the root logger of this process, for good."""
        sys.stdout = Tee(sys.stdout)
        logging.getLogger().addHandler(LogLines())


class Tee(io.TextIOBase):
    """Standard output that also goes to the run in whose context it is written."""

    def __init__(self, to: IO[str]) -> None:
        self._to = to

    def write(self, text: str) -> int:
        run = CURRENT.get()
        if run is not None:
            run.write(text)
        return self._to.write(text)

    def flush(self) -> None:
        self._to.flush()

    def fileno(self) -> int:
        return self._to.fileno()


class LogLines(logging.Handler):
    """Log records of a task function, as lines of its task."""

    def emit(self, record: logging.LogRecord) -> None:
        run = CURRENT.get()
        if run is not None and not record.name.startswith("miniqueue."):
            run.log(f"{record.levelname} {record.name}: {record.getMessage()}"[:1000])
