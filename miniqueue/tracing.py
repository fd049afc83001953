"""Tracing: a `process` span for each run of a task, in the trace of whoever sent the task.

    Worker(queue, middlewares=[Tracing(queue)])      # MINIQUEUE_TRACING=1 adds it

A retry is another span of the same trace. While a task runs its span is the current one, so spans
of its own, and the tasks that it sends, are below it; not so in a batch, which is many tasks.
Asking for the context takes a round trip a task.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, NamedTuple

from opentelemetry import context, trace

from miniqueue import spans
from miniqueue.errors import BackendUnavailable
from miniqueue.middleware import Middleware, Outcome
from miniqueue.outcome import Run
from miniqueue.protocol.records import Failure
from miniqueue.queue import Queue
from miniqueue.task import decode

__all__ = ["Tracing"]


class _Open(NamedTuple):
    """A span that has begun, and what makes the one before it the current one again."""

    run: Run
    span: trace.Span
    token: Any
    thread: int


class Tracing(Middleware):
    """It stands behind all others: what one of them puts off has no span."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._open: dict[tuple[str, int], _Open] = {}

    def before(self, run: Run) -> int:
        self._leave(run)
        task, thread = run.task, threading.get_ident()
        parent = spans.parent({"traceparent": self._context_of(task.id)})
        sent = trace.get_current_span(parent).get_span_context()
        span = spans.tracer().start_span(
            f"process {self._queue.name}",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            links=[trace.Link(sent)] if sent.is_valid else [],
            attributes=spans.about("process", self._queue.name, task.id, task.name)
            | {"miniqueue.task.attempt": task.attempt},
        )
        alone = run.handling.batch == 1
        token = context.attach(trace.set_span_in_context(span)) if alone else None
        self._open[task.id, task.attempt] = _Open(run, span, token, thread)
        return 0

    def after(self, run: Run, ended: Outcome) -> None:
        open_ = self._open.pop((run.task.id, run.task.attempt), None)
        if open_ is None:
            return
        if isinstance(ended, Failure):
            _tell_failure(open_.span, ended)
        state = ended.state if isinstance(ended, Failure) else "succeeded" if ended else "lost"
        open_.span.set_attribute("miniqueue.task.state", state)
        _close(open_)

    def _context_of(self, task_id: str) -> str:
        with contextlib.suppress(BackendUnavailable):  # a task does not fail for its trace
            return self._queue.client.run(self._queue.protocol.trace(task_id)) or ""
        return ""

    def _leave(self, run: Run) -> None:
        """Close what this thread left open: runs whose lease was lost before they began."""
        thread = threading.get_ident()
        for key, one in list(self._open.items()):
            if one.thread == thread and one.run.began != run.began:
                del self._open[key]
                _close(one)


def _tell_failure(span: trace.Span, ended: Failure) -> None:
    """As Span.record_exception() does; of an error in another process only its words are here."""
    error = decode(ended.error)
    if ended.state == "cancelled" or not isinstance(error, dict):
        return
    kind, message = str(error.get("type")), str(error.get("message"))
    told = {"exception.type": kind, "exception.message": message}
    if "traceback" in error:
        told["exception.stacktrace"] = str(error["traceback"])
    span.add_event("exception", told)
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR, message)


def _close(one: _Open) -> None:
    one.span.end()
    if one.token is not None and one.thread == threading.get_ident():
        context.detach(one.token)
