"""Lane: one claim -> run -> finish loop in a thread of its own; a worker has `concurrency` lanes.

Only one lane at a time claims, and if nothing is there waits for a hint from Redis (leader and
followers); the others wait for their turn in this process and cost nothing. What a lane has
finished travels with its next claim in one round trip (R10). A lane that stays long in one task is
relieved by the worker's keeper: its results are sent and its backlog is handed back (R9).
"""

from __future__ import annotations

import contextlib
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
from miniqueue.middleware import Middleware
from miniqueue.options import Handling, Options
from miniqueue.outcome import Run, completion, failure
from miniqueue.pace import Pace
from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Claimed, Claims, Completion, Failure, Note, Postponement
from miniqueue.queue import Queue
from miniqueue.registry import Registry
from miniqueue.task import decode, encode, size_of

__all__ = ["Lane", "Shared"]

Ended = Completion | Failure | Note | Postponement
log = logging.getLogger("miniqueue.worker")
WAITED_FOR = 2  # the fate of a result that was kept and that other tasks wait for
IDLE_S = 1.0  # R6: the longest that an idle worker waits for a hint
LOW_FIRST_EVERY = 10  # one claim in ten looks at low first, so that low never starves


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
    middlewares: Sequence[Middleware] = ()
    alarm: Callable[[float], None] = lambda at: None  # wake the keeper at this monotonic time
    renewed: float = 0.0  # when the leases were last renewed, monotonic
    claims: int = 0
    done: int = 0


class Lane:
    """`backlog`, `results` and `current` are read by the keeper; deques make each step atomic."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.executor = Executor(shared.loop)
        self.backlog: deque[tuple[Claimed, Claims, float]] = deque()
        self.results: deque[Ended] = deque()
        self.started: deque[tuple[str, int]] = deque()  # interrupted by a stop, to be released
        self.current: Run | None = None
        self._parents_ended = False  # a result went out that other tasks wait for
        self._client = shared.queue.client
        self._protocol = shared.queue.protocol
        self._settings = shared.queue.settings

    def loop(self) -> None:
        """Turn after turn until the worker stops, then hand back what is not started."""
        away_s = 0.1
        while not self.shared.stopping.is_set():
            try:
                self.turn()
                away_s = 0.1
            except BackendUnavailable as away:
                log.warning("%s; trying again in %.1f s", away, away_s)
                self.shared.stopping.wait(away_s)
                away_s = min(1.0, 2 * away_s)  # R11: never more than a second between tries
        self.relieve()

    def turn(self, *, wait_s: float = IDLE_S) -> int:
        """Send results, claim, run what was claimed; with nothing to do wait up to `wait_s`."""
        claims = self._exchange(wait_s)
        self._take(claims)
        ran = 0
        while self.backlog and not self.shared.stopping.is_set():
            try:
                task, claims, received = self.backlog.popleft()
            except IndexError:  # the keeper was faster
                break
            self._run(task, claims, received)
            ran += 1
        return ran

    def relieve(self) -> None:
        """Send the results and release the backlog; raises nothing, a lease outlives an outage."""
        results = drain(self.results)
        held = [*drain(self.started), *((t.id, t.attempt) for t, _, _ in drain(self.backlog))]
        calls: list[Call[Any]] = self._reports(results)
        if held:
            calls.append(self._protocol.release(self.shared.worker, held))
        if not calls:
            return
        try:
            self._client.run_many(calls)
        except BackendUnavailable as away:
            self.results.extendleft(reversed(results))
            log.warning(
                "%s; %d results wait, %d tasks will be reclaimed", away, len(results), len(held)
            )

    def held(self) -> list[tuple[str, int]]:
        """(id, attempt) of all that this lane holds."""
        run = self.current
        current = [] if run is None else [(run.task.id, run.task.attempt)]
        results = [(r.id, r.attempt) for r in list(self.results)]
        return [*current, *results, *((task.id, task.attempt) for task, _, _ in list(self.backlog))]

    def drop(self, lost: set[tuple[str, int]]) -> None:
        """Forget unstarted tasks whose leases are lost: somebody else runs them."""
        for item in list(self.backlog):
            if (item[0].id, item[0].attempt) in lost:
                with contextlib.suppress(ValueError):  # the lane was faster
                    self.backlog.remove(item)

    # -- claim -----------------------------------------------------------------------------------

    def _exchange(self, wait_s: float) -> Claims:
        turnstile = self.shared.turnstile
        if not turnstile.acquire(blocking=False):
            self.relieve()  # another lane waits for a hint: results must not wait with it
            turnstile.acquire()
        try:
            if self.shared.stopping.is_set():
                return Claims(0, 0, [])
            claims = self._report_and_claim()
            if self._parents_ended:
                self._advance()
            elif not claims.tasks and wait_s > 0:
                self._idle(min(wait_s, claims.wait_ms / 1000))
            return claims
        finally:
            turnstile.release()

    def _report_and_claim(self) -> Claims:
        shared = self.shared
        shared.claims += 1
        low_first = shared.claims % LOW_FIRST_EVERY == 0
        claim = self._protocol.claim(shared.worker, shared.pace.limit(), low_first=low_first)
        results = drain(self.results)
        reports = self._reports(results)
        try:
            claims: Claims = self._client.run_many([*reports, claim])[-1]
        except BackendUnavailable:
            self.results.extendleft(reversed(results))
            raise
        return claims

    def _advance(self) -> None:
        """Start what waited for our results; where this fails, any worker's keeper does it."""
        self._parents_ended = False
        with contextlib.suppress(BackendUnavailable):
            self._client.run(self._protocol.advance())

    def _idle(self, wait_s: float) -> None:
        if not self._client.run(self._protocol.wake(wait_s)):
            self._client.run_many([self._protocol.promote(), self._protocol.reclaim()])

    def _reports(self, results: list[Ended]) -> list[Call[Any]]:
        completions = [r for r in results if isinstance(r, Completion)]
        calls: list[Call[Any]] = [self._protocol.note(r) for r in results if isinstance(r, Note)]
        if completions:
            complete = self._protocol.complete(self.shared.worker, completions)
            calls.append(self._told(complete, completions))
        for result in results:
            if isinstance(result, Failure):
                fail = self._protocol.fail(self.shared.worker, result)
                calls.append(self._told(fail, [result]))
            elif isinstance(result, Postponement):
                calls.append(self._protocol.postpone(self.shared.worker, result))
        return calls

    def _told(self, call: Call[Any], ended: Sequence[Completion | Failure]) -> Call[Any]:
        """The same call, which also notes whether others wait, and tells of dropped results."""

        def parse(reply: Any) -> Any:
            kept = call.parse(reply)
            for result, fate in zip(ended, kept if isinstance(kept, list) else [kept], strict=True):
                self._parents_ended |= fate == WAITED_FOR
                if not fate:
                    log.warning(
                        "attempt %d of task %s lost its lease; dropped", result.attempt, result.id
                    )
            return kept

        return Call(call.name, call.keys, call.args, parse)

    def _take(self, claims: Claims) -> None:
        received = time.monotonic()
        keep, hand_back = self.shared.pace.split(claims.tasks)
        self.backlog.extend((task, claims, received) for task in keep)
        if hand_back:
            held = [(task.id, task.attempt) for task in hand_back]
            self._client.run(self._protocol.release(self.shared.worker, held))
        if len(keep) > 1:
            self.shared.alarm(received + self.shared.pace.prefetch_s)

    # -- run -------------------------------------------------------------------------------------

    def _run(self, task: Claimed, claims: Claims, received: float) -> None:
        began = time.monotonic()
        if began - max(received, self.shared.renewed) > self._settings.lease_s:
            return  # this process stood still: the task is not ours any more
        started_ms = claims.now_ms + int((began - received) * 1000)
        timeout_s = task.timeout_s or self._options(task.name).timeout_s or self._settings.timeout_s
        run = self.current = Run(task, began, started_ms, began + timeout_s)
        if timeout_s < IDLE_S:
            self.shared.alarm(run.deadline)
        try:
            ended = self._end(run)
            if run.lines:
                self.results.append(Note(task.id, task.attempt, drain(run.lines)))
            if ended is not None:
                self.results.append(ended)
        finally:
            self.current = None
        self.shared.done += 1
        self.shared.pace.ran(task.name, time.monotonic() - began)

    def _end(self, run: Run) -> Completion | Failure | Postponement | None:
        """The run's outcome; None where the attempt is not ours to end."""
        ended: Completion | Failure | None = None
        try:
            for middleware in self.shared.middlewares:
                if wait_ms := middleware.before(run):
                    return Postponement(run.task.id, run.task.attempt, wait_ms, "rate limit")
            ended = completion(run, self._call(run))
        except BaseException as error:  # also SystemExit: a task does not end its worker
            ended = self._judge(run, error)
        for middleware in self.shared.middlewares:
            self._after(middleware, run, ended)
        return ended

    def _judge(self, run: Run, error: BaseException) -> Failure | None:
        if isinstance(error, Interrupted) and error.why in ("lost", "stop"):
            if error.why == "stop":
                self.started.append((run.task.id, run.task.attempt))
            return None
        name, registry = run.task.name, self.shared.registry
        handling = registry.get(name).handling if name in registry else Handling()
        return failure(run, error, self._options(name), handling)

    def _after(self, middleware: Middleware, run: Run, ended: Completion | Failure | None) -> None:
        try:
            middleware.after(run, ended)
        except Exception:  # code of a user's middleware
            log.exception("%r failed after task %s", middleware, run.task.id)

    def _call(self, run: Run) -> str:
        task = run.task
        function = self.shared.registry.get(task.name)
        args, kwargs = decode(task.args), decode(task.kwargs, {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise PayloadError("the stored arguments are not a list and an object")
        if task.takes:
            args = [self._input(task), *args]
        function.spec.check(args, kwargs)
        if function.wants_context:
            args, kwargs = function.with_context(
                context_of(self.shared.queue, self.shared.worker, run), args, kwargs
            )
        value = self.executor.run(run, function, args, kwargs)
        what = f"the result of {task.name!r}"
        result = encode(value, what)
        size, limit = size_of(result), self._settings.max_result_bytes
        if size > limit:
            raise PayloadTooLarge(what, size, limit, "MINIQUEUE_MAX_RESULT_BYTES")
        return result

    def _input(self, task: Claimed) -> Any:
        """What the tasks before this one have left for it: one result, or the list of all."""
        results = [decode(text) for text in self._client.run(self._protocol.inputs(task.id))]
        return results[0] if task.takes == "result" else results

    def _options(self, name: str) -> Options:
        registry = self.shared.registry
        return registry.get(name).spec.options if name in registry else Options()


def drain(items: deque[Any]) -> list[Any]:
    """Take all that is there; what another thread takes meanwhile is not ours."""
    taken = []
    while True:
        try:
            taken.append(items.popleft())
        except IndexError:
            return taken
