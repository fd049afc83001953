"""Runner: runs one claimed task, or a batch of them, and says how each ended."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from miniqueue.desk import context_of
from miniqueue.errors import BackendUnavailable, PayloadError, PayloadTooLarge
from miniqueue.executor import Executor, Interrupted, SharedLoop
from miniqueue.metrics import Metrics
from miniqueue.middleware import Middleware
from miniqueue.outcome import Run, completion, failure
from miniqueue.pace import Pace
from miniqueue.protocol.records import Claimed, Completion, Failure, Note, Postponement
from miniqueue.queue import Queue
from miniqueue.registry import Registry, TaskFunction
from miniqueue.task import decode, encode, size_of

__all__ = ["Ended", "Runner", "Shared", "drain"]

Ended = Completion | Failure | Note | Postponement
log = logging.getLogger("miniqueue.worker")
SOON_S = 1.0  # a run that may be over sooner than this is watched by an alarm of its own


@dataclass
class Shared:
    """What the lanes of one worker have in common."""

    worker: str
    queue: Queue
    registry: Registry
    pace: Pace
    stopping: threading.Event = field(default_factory=threading.Event)
    turnstile: threading.Lock = field(default_factory=threading.Lock)
    loop: SharedLoop = field(default_factory=SharedLoop)
    metrics: Metrics = field(default_factory=Metrics)
    befores: Sequence[Middleware] = ()
    afters: Sequence[Middleware] = ()
    alarm: Callable[[float], None] = lambda at: None  # wake the keeper at this monotonic time
    renewed: float = 0.0  # when the leases were last renewed, monotonic
    claims: int = 0
    done: int = 0

    def watch(self, middlewares: Sequence[Middleware]) -> None:
        """Have these asked at each run: each of them only for the methods that it overrides."""
        self.befores = [m for m in middlewares if type(m).before is not Middleware.before]
        self.afters = [m for m in middlewares if type(m).after is not Middleware.after]


class Runner:
    """`current` is read by the keeper: the run that it may interrupt, in a batch the first one."""

    def __init__(self, shared: Shared) -> None:
        self.executor = Executor(shared.loop)
        self.current: Run | None = None
        self.runs: Sequence[Run] = ()
        self.interrupted: deque[tuple[str, int]] = deque()  # by a stop, to be released
        self._shared = shared
        self._queue = shared.queue

    def run(self, tasks: Sequence[Claimed], started_ms: int) -> list[Ended]:
        """Run one task, or a batch of one function; gives what is to be told of each."""
        began = time.monotonic()
        function = self._shared.registry.find(tasks[0].name)
        timeout_s = self._timeout_s(tasks[0], function)
        runs = [Run(task, function, began, started_ms, began + timeout_s) for task in tasks]
        self.runs, self.current = runs, runs[0]
        if timeout_s < SOON_S:
            self._shared.alarm(began + timeout_s)
        try:
            batch = runs[0].handling.batch > 1
            ended = self._end_batch(runs) if batch else self._end(runs[0])
        finally:
            self.runs, self.current = (), None
        self._shared.done += len(runs)
        self._shared.pace.ran(tasks[0].name, (time.monotonic() - began) / len(runs))
        return ended

    def batch_of(self, task: Claimed) -> int:
        """How many tasks like this one run in one call of its function."""
        return self._shared.registry.handling(task.name).batch

    # -- one task --------------------------------------------------------------------------------

    def _end(self, run: Run) -> list[Ended]:
        if (put_off := self._put_off(run)) is not None:
            return put_off
        if not self._acked([run]):
            return []
        try:
            ended: Completion | Failure | None = completion(run, self._call(run))
        except BaseException as error:  # also SystemExit: a task does not end its worker
            ended = self._judge(run, error)
        return self._told(run, ended)

    def _put_off(self, run: Run) -> list[Ended] | None:
        """What a middleware says before the run; None: let it start."""
        try:
            for middleware in self._shared.befores:
                if wait_ms := middleware.before(run):
                    name = type(middleware).__name__
                    return [Postponement(run.task.id, run.task.attempt, wait_ms, name)]
        except Exception as error:  # code of a user's middleware
            return self._told(run, self._judge(run, error))
        return None

    def _acked(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Those that may start: all, or if their function wants that, those whose acknowledgement
        was kept. The others are left to their leases: perhaps somebody else has them.
        """
        if not runs or runs[0].handling.ack == "after":
            return runs
        calls = [self._queue.protocol.ack(run.task.id, run.task.attempt) for run in runs]
        try:
            kept = self._queue.client.run_many(calls)
        except BackendUnavailable as away:
            log.warning("%s; %d tasks are not started", away, len(runs))
            return []
        return [run for run, ours in zip(runs, kept, strict=True) if ours]

    def _call(self, run: Run) -> str:
        task, function = run.task, run.function
        if function is None:
            raise self._shared.registry.unknown(task.name)
        args, kwargs = self._arguments(task, function)
        if function.wants_context:
            context = context_of(self._queue, self._shared.worker, run)
            args, kwargs = function.with_context(context, args, kwargs)
        return self._encoded(task, self.executor.run(run, function, args, kwargs))

    def _arguments(
        self, task: Claimed, function: TaskFunction[..., Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        args, kwargs = decode(task.args), decode(task.kwargs, {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise PayloadError("the stored arguments are not a list and an object")
        if task.takes:
            args = [self._input(task), *args]
        function.spec.check(args, kwargs)
        return args, kwargs

    def _input(self, task: Claimed) -> Any:
        """What the tasks before this one have left for it: one result, or the list of all."""
        texts = self._queue.client.run(self._queue.protocol.inputs(task.id))
        results = [decode(text) for text in texts]
        return results[0] if task.takes == "result" else results

    def _encoded(self, task: Claimed, value: Any) -> str:
        result = encode(value, "the result", task.name)
        size, limit = size_of(result), self._queue.settings.max_result_bytes
        if size > limit:
            what = f"the result of {task.name!r}"
            raise PayloadTooLarge(what, size, limit, "MINIQUEUE_MAX_RESULT_BYTES")
        return result

    def _judge(self, run: Run, error: BaseException) -> Failure | None:
        if isinstance(error, Interrupted):
            if error.why == "lost":
                return None
            if error.why == "stop" and run.handling.ack == "after":
                self.interrupted.append((run.task.id, run.task.attempt))
                return None
        return failure(run, error)

    def _told(self, run: Run, ended: Completion | Failure | None) -> list[Ended]:
        for middleware in self._shared.afters:
            try:
                middleware.after(run, ended)
            except Exception:  # code of a user's middleware
                log.exception("%r failed after task %s", middleware, run.task.id)
        notes = [Note(run.task.id, run.task.attempt, drain(run.lines))] if run.lines else []
        return [*notes, *([] if ended is None else [ended])]

    def abandon(self, run: Run, why: str, late_s: float) -> list[Ended]:
        """The end of a run that cannot be interrupted, told by the keeper."""
        return self._told(run, self._judge(run, Interrupted(why, late_s)))

    # -- a batch ---------------------------------------------------------------------------------

    def _end_batch(self, runs: Sequence[Run]) -> list[Ended]:
        """One call for all; if it raises, a call for each, so that a bad item fails alone."""
        ended: list[Ended] = []
        ready: list[tuple[Run, Any]] = []
        for run in runs:
            try:
                put_off = self._put_off(run)
                if put_off is None:
                    ready.append((run, self._item(run.task)))
                else:
                    ended += put_off
            except Exception as error:
                ended += self._told(run, self._judge(run, error))
        may_start = {id(run) for run in self._acked([run for run, _ in ready])}
        for run, value in self._values([pair for pair in ready if id(pair[0]) in may_start]):
            ended += self._told(run, self._ended(run, value))
        return ended

    def _item(self, task: Claimed) -> Any:
        args, kwargs = self._arguments(task, self._shared.registry.get(task.name))
        return args[0] if args else next(iter(kwargs.values()))

    def _values(self, ready: Sequence[tuple[Run, Any]]) -> list[tuple[Run, Any]]:
        """A result or an exception for each run."""
        if not ready:
            return []
        runs, items = [run for run, _ in ready], [item for _, item in ready]
        function = self._shared.registry.get(runs[0].task.name)
        try:
            values = self.executor.run(self.current, function, [items], {})
            if not isinstance(values, (list, tuple)) or len(values) != len(items):
                raise PayloadError(
                    f"batch function {function.name!r} got {len(items)} items: "
                    f"it must return a list of as many results"
                )
        except Interrupted as stop:
            return [(run, stop) for run in runs]
        except BaseException as error:
            if len(ready) > 1:
                return [pair for one in ready for pair in self._values([one])]
            return [(runs[0], error)]
        return list(zip(runs, values, strict=True))

    def _ended(self, run: Run, value: Any) -> Completion | Failure | None:
        if isinstance(value, BaseException):
            return self._judge(run, value)
        try:
            return completion(run, self._encoded(run.task, value))
        except PayloadError as error:
            return self._judge(run, error)

    # -- what is known of a function -------------------------------------------------------------

    def _timeout_s(self, task: Claimed, function: TaskFunction[..., Any] | None) -> float:
        known = None if function is None else function.spec.options.timeout_s
        return task.timeout_s or known or self._queue.settings.timeout_s


def drain(items: deque[Any]) -> list[Any]:
    """Take all that is there; what another thread takes meanwhile is not ours."""
    taken = []
    while True:
        try:
            taken.append(items.popleft())
        except IndexError:
            return taken
