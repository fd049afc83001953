"""Lane: one claim -> run -> finish loop in a thread of its own; a worker has `concurrency` lanes.

Only one lane at a time claims, and if nothing is there waits for a hint from Redis (leader and
followers); the others wait for their turn in this process and cost nothing. What a lane has
finished travels with its next claim in one round trip (R10). A lane that stays long in one task is
relieved by the worker's keeper: its results are sent and its backlog is handed back (R9).
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from miniqueue.context import Context
from miniqueue.errors import BackendUnavailable, Fail, PayloadTooLarge, Retry
from miniqueue.executor import Executor, Interrupted, SharedLoop
from miniqueue.pace import Pace
from miniqueue.protocol.operations import Call
from miniqueue.protocol.records import Claimed, Claims, Completion, Failure
from miniqueue.queue import Queue
from miniqueue.registry import Options, Registry
from miniqueue.task import backoff, decode, encode, encode_json

__all__ = ["Lane", "Run", "Shared"]

log = logging.getLogger("miniqueue.worker")
IDLE_S = 1.0  # R6: the longest that an idle worker waits for a hint
LOW_FIRST_EVERY = 10  # one claim in ten looks at low first, so that low never starves


@dataclass(slots=True)
class Run:
    """A task that runs now: `deadline` and `began` are monotonic, `started_ms` is Redis' clock."""

    task: Claimed
    began: float
    started_ms: int
    deadline: float


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
    alarm: Callable[[float], None] = lambda at: None  # wake the keeper at this monotonic time
    claims: int = 0
    done: int = 0


class Lane:
    """`backlog`, `results` and `current` are read by the keeper; deques make each step atomic."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.executor = Executor(shared.loop)
        self.backlog: deque[tuple[Claimed, Claims, float]] = deque()
        self.results: deque[Completion | Failure] = deque()
        self.current: Run | None = None
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
        held = [(task.id, task.attempt) for task, _, _ in drain(self.backlog)]
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
            if not claims.tasks and wait_s > 0:
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

    def _idle(self, wait_s: float) -> None:
        if not self._client.run(self._protocol.wake(wait_s)):
            self._client.run_many([self._protocol.promote(), self._protocol.reclaim()])

    def _reports(self, results: list[Completion | Failure]) -> list[Call[Any]]:
        completions = [r for r in results if isinstance(r, Completion)]
        calls: list[Call[Any]] = []
        if completions:
            calls.append(
                _told(self._protocol.complete(self.shared.worker, completions), completions)
            )
        for failure in results:
            if isinstance(failure, Failure):
                calls.append(_told(self._protocol.fail(self.shared.worker, failure), [failure]))
        return calls

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
        started_ms = claims.now_ms + int((began - received) * 1000)
        timeout_s = self._timeout_s(task)
        run = self.current = Run(task, began, started_ms, began + timeout_s)
        if timeout_s < IDLE_S:
            self.shared.alarm(run.deadline)
        ended: Completion | Failure | None
        try:
            result = self._call(run)
        except BaseException as error:
            ended = self._judge(run, error)
        else:
            ended = Completion(task.id, task.attempt, result, started_ms, _since(began))
        if ended is not None:
            self.results.append(ended)
        self.current = None
        self.shared.done += 1
        self.shared.pace.ran(task.name, time.monotonic() - began)

    def _call(self, run: Run) -> str:
        task = run.task
        function = self.shared.registry.get(task.name)
        args, kwargs = decode(task.args), decode(task.kwargs, {})
        function.spec.check(args, kwargs)
        if function.context_parameter is not None:
            kwargs[function.context_parameter] = self._context(task)
        value = self.executor.run(run, function, args, kwargs)
        result = encode(value, f"the result of {task.name!r}")
        size, limit = len(result), self._settings.max_result_bytes
        if size > limit:
            raise PayloadTooLarge(
                f"the result of {task.name!r}", size, limit, "MINIQUEUE_MAX_RESULT_BYTES"
            )
        return result

    def _context(self, task: Claimed) -> Context:
        def report(kind: str, value: Any) -> None:
            text = value if kind == "log" else encode_json(value)
            self._client.run(self._protocol.report(task.id, task.attempt, kind, text))

        worker, queue = self.shared.worker, self.shared.queue.name
        return Context(task.id, task.name, queue, worker, task.attempt, task.max_attempts, report)

    def _timeout_s(self, task: Claimed) -> float:
        options = self._options(task.name)
        return task.timeout_s or options.timeout_s or self._settings.timeout_s

    def _options(self, name: str) -> Options:
        registry = self.shared.registry
        return registry.get(name).spec.options if name in registry else Options()

    # -- judge -----------------------------------------------------------------------------------

    def _judge(self, run: Run, error: BaseException) -> Failure | None:
        """What an exception means for the task; None where the attempt is not ours to end."""
        task = run.task
        final = isinstance(error, Fail) or task.attempt - task.released >= task.max_attempts
        delay_s = self._delay_s(task, error)
        if isinstance(error, Interrupted):
            if error.why == "lost":
                return None
            if error.why == "stop":
                self._client.run(
                    self._protocol.release(self.shared.worker, [(task.id, task.attempt)])
                )
                return None
            if error.why == "cancel":
                return self._failure(run, "cancelled", "Cancelled", "cancelled while it ran", "", 0)
            words = self._timeout_words(run)
            state = "failed" if final else "scheduled"
            return self._failure(run, state, "TaskTimeout", words, "", delay_s)
        state = "failed" if final else "scheduled"
        kind, message = type(error).__name__, str(error)
        return self._failure(run, state, kind, message, _traceback(error), delay_s)

    def _delay_s(self, task: Claimed, error: BaseException) -> float:
        if isinstance(error, Retry) and error.after_s is not None:
            return error.after_s
        options = self._options(task.name)
        tries = task.attempt - task.released
        return backoff(tries, base_s=options.backoff_s, cap_s=options.backoff_cap_s)

    def _timeout_words(self, run: Run) -> str:
        words = f"ran longer than its {run.deadline - run.began:g} s"
        late = time.monotonic() - self.executor.interrupted_at
        if late > 1.0:
            words += f"; it could not be interrupted for {late:.1f} s (code outside Python)"
        return words

    def _failure(
        self, run: Run, state: str, kind: str, message: str, trace: str, delay_s: float
    ) -> Failure:
        error: dict[str, Any] = {"type": kind, "message": message[:2000]}
        if trace:
            error["traceback"] = trace
        task = run.task
        return Failure(
            *(task.id, task.attempt, state, encode_json(error).encode(errors="replace").decode()),
            reason=f"{kind}: {message}"[:200].encode(errors="replace").decode(),
            delay_ms=max(1, int(delay_s * 1000)),
            started_ms=run.started_ms,
            run_ms=_since(run.began),
        )


def drain(items: deque[Any]) -> list[Any]:
    """Take all that is there; what another thread takes meanwhile is not ours."""
    taken = []
    while True:
        try:
            taken.append(items.popleft())
        except IndexError:
            return taken


def _told(call: Call[Any], ended: list[Any]) -> Call[Any]:
    """The same call; its parse also says which results were dropped because the lease was lost."""

    def parse(reply: Any) -> Any:
        kept = call.parse(reply)
        for result, ours in zip(ended, kept if isinstance(kept, list) else [kept], strict=True):
            if not ours:
                log.warning(
                    "attempt %d of task %s lost its lease; dropped", result.attempt, result.id
                )
        return kept

    return Call(call.name, call.keys, call.args, parse)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)


def _traceback(error: BaseException) -> str:
    """The traceback from the task function on: the frames of the lane and the executor are not
    news.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
        "miniqueue."
    ):
        if trace.tb_next is None:
            break
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))[-8000:]
