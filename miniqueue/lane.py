"""Lane: one claim -> run -> finish loop in a thread of its own; a worker has `concurrency` lanes.

Only one lane at a time claims, and if nothing is there waits for a hint from Redis (leader and
followers); the others wait for their turn in this process and cost nothing. What a lane has
finished travels with its next claim in one round trip (R10). A lane that stays long in one task is
relieved by the worker's keeper: its results are sent and its backlog is handed back (R9).
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Claimed, Claims, Completion, Failure, Note, Postponement
from miniqueue.redis_client import Sent
from miniqueue.runner import Ended, Runner, Shared, drain
from miniqueue.task import Priority

__all__ = ["Lane", "Waiting"]

log = logging.getLogger("miniqueue.worker")
WAITED_FOR = 2  # the fate of a result that was kept and that other tasks wait for
IDLE_S = 1.0  # R6: the longest that an idle worker waits for a hint
# Of ten claims one looks at low first and one at normal, so that neither ever starves.
HIGH: list[Priority] = ["high"] * 4
FIRST: list[Priority] = ["low", *HIGH, "normal", *HIGH]


class Waiting(NamedTuple):
    """A task that is claimed and not started. `asked` and `taken`: when it was asked for and when
    it came, monotonic; `now_ms`: Redis' clock between the two.
    """

    task: Claimed
    now_ms: int
    asked: float
    taken: float


class Ahead(NamedTuple):
    """What is on its way, and when it was sent, monotonic: results, and a claim of `most` tasks."""

    sent: Sent
    results: list[Ended]
    most: int
    asked: float


class Lane:
    """`ahead` (two at the most), `backlog` and `results` are read by the keeper too.

    They are deques, which make each step atomic.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.runner = Runner(shared)
        self.backlog: deque[Waiting] = deque()
        self.results: deque[Ended] = deque()
        self.ahead: deque[Ahead] = deque()
        self._kept = 0  # tasks of the last claim that was read
        self._parents_ended = False  # a result went out that other tasks wait for
        self._client = shared.queue.client
        self._protocol = shared.queue.protocol
        self._settings = shared.queue.settings

    def loop(self) -> None:
        """Turn after turn until the worker stops, then hand back what is not started."""
        away_s = 0.1
        while not self.shared.stopping.is_set():
            try:
                self.ask_ahead()
                self.fetch(IDLE_S)
                self.ask_ahead()
                self.work()
                away_s = 0.1
            except BackendUnavailable as away:
                self.shared.metrics.redis_errors += 1
                log.warning("%s; trying again in %.1f s", away, away_s)
                self.shared.stopping.wait(away_s)
                away_s = min(1.0, 2 * away_s)  # R11: never more than a second between tries
        self.relieve()

    def turn(self, *, wait_s: float = IDLE_S) -> int:
        """Send results, claim, run what was claimed; with nothing to do wait up to `wait_s`."""
        self.fetch(wait_s)
        return self.work()

    def fetch(self, wait_s: float) -> None:
        """Take in what was asked for ahead; where nothing was, ask and wait up to `wait_s`."""
        claims, asked = self._arrived() or self._exchange(wait_s)
        if self._parents_ended:
            self._advance()
        self._take(claims, asked)

    def work(self) -> int:
        """Run the backlog; gives the number of tasks run."""
        ran = 0
        while self.backlog and not self.shared.stopping.is_set():
            try:
                waiting = self.backlog.popleft()
            except IndexError:  # the keeper was faster
                break
            ran += self._run(waiting)
        return ran

    def _run(self, waiting: Waiting) -> int:
        if not self._ours(waiting):
            return 0
        task = waiting.task
        tasks = [task]
        if (most := self.runner.batch_of(task)) > 1:
            tasks += self._gather(task, most - 1)
        started_ms = waiting.now_ms + int((time.monotonic() - waiting.asked) * 1000)
        self.results.extend(self.runner.run(tasks, started_ms))
        return len(tasks)

    def _ours(self, waiting: Waiting) -> bool:
        """Whether its lease can still stand: if this process stood still, somebody else has it."""
        renewed = self.shared.renewed
        # A beat renews what was here when it left. Before that a lease is as old as the question,
        # since the answer may have waited for us.
        since = renewed if renewed > waiting.taken else waiting.asked
        return time.monotonic() - since <= self._settings.lease_s

    def _gather(self, task: Claimed, most: int) -> list[Claimed]:
        """More tasks of the same function: from the backlog, then by claims while it lingers."""
        found = self._of_backlog(task.name, most)
        end = time.monotonic() + self.shared.registry.get(task.name).handling.linger_ms / 1000
        with contextlib.suppress(BackendUnavailable):
            while len(found) < most and (left := end - time.monotonic()) > 0:
                found += self._claim_more(task.name, most - len(found), left)
        return found

    def _claim_more(self, name: str, most: int, wait_s: float) -> list[Claimed]:
        asked = time.monotonic()
        claims = self._client.run(self._protocol.claim(self.shared.worker, most))
        self._keep(claims, claims.tasks, asked)
        if not claims.tasks:
            self._client.run(self._protocol.wake(max(0.001, wait_s)))
        return self._of_backlog(name, most)

    def _of_backlog(self, name: str, most: int) -> list[Claimed]:
        found: list[Claimed] = []
        for item in list(self.backlog):
            if len(found) < most and item.task.name == name:
                with contextlib.suppress(ValueError):  # the keeper was faster
                    self.backlog.remove(item)
                    found += [item.task] if self._ours(item) else []
        return found

    def relieve(self) -> None:
        """Send the results and release the backlog; raises nothing, a lease outlives an outage."""
        while self.ahead:
            with contextlib.suppress(BackendUnavailable):
                if (arrived := self._arrived()) is not None:
                    self._keep(arrived[0], arrived[0].tasks, arrived[1])
        results = drain(self.results)
        held = drain(self.runner.interrupted)
        held += [_pair(item.task) for item in drain(self.backlog)]
        calls: list[Call[Any]] = self._reports(results)
        if held:
            calls.append(self._protocol.release(self.shared.worker, held))
        if not calls:
            return
        try:
            self._client.run_many(calls)
        except BackendUnavailable as away:
            self.results.extendleft(reversed(results))
            self.shared.metrics.redis_errors += 1
            log.warning(
                "%s; %d results wait, %d tasks will be reclaimed", away, len(results), len(held)
            )

    def held(self) -> list[tuple[str, int]]:
        """(id, attempt) of all that this lane holds."""
        current = [_pair(run.task) for run in self.runner.runs]
        results = [(r.id, r.attempt) for r in list(self.results)]
        return [*current, *results, *(_pair(item.task) for item in list(self.backlog))]

    def drop(self, lost: set[tuple[str, int]]) -> None:
        """Forget unstarted tasks whose leases are lost: somebody else runs them."""
        for item in list(self.backlog):
            if _pair(item.task) in lost:
                with contextlib.suppress(ValueError):  # the lane was faster
                    self.backlog.remove(item)

    # -- claim -----------------------------------------------------------------------------------

    def _exchange(self, wait_s: float) -> tuple[Claims, float]:
        """What is claimed, and when that was asked for, monotonic."""
        turnstile = self.shared.turnstile
        if not turnstile.acquire(blocking=False):
            self.relieve()  # another lane waits for a hint: results must not wait with it
            turnstile.acquire()
        try:
            if self.shared.stopping.is_set():
                return Claims(0, 0, []), 0.0
            self.ahead.append(self._ask(self.shared.pace.limit()))
            claims, asked = self._arrived() or (Claims(0, 0, []), 0.0)
            if not claims.tasks and not self._parents_ended and wait_s > 0:
                self._idle(min(wait_s, claims.wait_ms / 1000))
            return claims, asked
        finally:
            turnstile.release()

    def ask_ahead(self) -> None:
        """Send the results and ask for the tasks after those that are held or on their way, so
        that Redis works while we do. It is not worth it where the last claim brought one task, and
        where it brought none the lane is about to wait for a hint. A failure shows in fetch().
        """
        turns = len(self.ahead) + bool(self.backlog)
        held = len(self.backlog) + sum(ahead.most for ahead in list(self.ahead))
        room = self.shared.pace.limit(held) if turns == 1 and self._kept > 1 else 0
        if room:
            with contextlib.suppress(BackendUnavailable):
                self.ahead.append(self._ask(room))

    def _ask(self, most: int) -> Ahead:
        """Send results, and claim up to `most` tasks."""
        shared = self.shared
        shared.claims += 1
        first = FIRST[shared.claims % len(FIRST)]
        claim = self._protocol.claim(shared.worker, most, first=first)
        results, asked = drain(self.results), time.monotonic()
        try:
            sent = self._client.send([*self._reports(results), claim])
            return Ahead(sent, results, most, asked)
        except BackendUnavailable:
            self.results.extendleft(reversed(results))
            raise

    def _arrived(self) -> tuple[Claims, float] | None:
        """What was asked for last, and when; None where nothing was, or the keeper was faster."""
        try:
            ahead = self.ahead.popleft()
        except IndexError:
            return None
        try:
            return ahead.sent.replies()[-1], ahead.asked
        except BackendUnavailable:
            self.results.extendleft(reversed(ahead.results))
            raise

    def _advance(self) -> None:
        """Start what waited for our results; where this fails, any worker's keeper does it."""
        self._parents_ended = False
        with contextlib.suppress(BackendUnavailable):
            self._client.run(self._protocol.advance())

    def _idle(self, wait_s: float) -> None:
        if not self._client.run(self._protocol.wake(wait_s)):
            self._client.run_many([self._protocol.promote(), self._protocol.reclaim()])
        elif self.shared.stopping.is_set():
            self._client.run(self._protocol.pass_on())

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
                    self.shared.metrics.lost(result.id, result.attempt)
                    log.warning(
                        "attempt %d of task %s lost its lease; dropped", result.attempt, result.id
                    )
            return kept

        return Call(call.name, call.keys, call.args, parse)

    def _take(self, claims: Claims, asked: float) -> None:
        keep, hand_back = self.shared.pace.split(claims.tasks, self.runner.batch_of)
        self._keep(claims, keep, asked)
        self._kept = len(keep)
        if hand_back:
            held = [_pair(task) for task in hand_back]
            self._client.run(self._protocol.release(self.shared.worker, held))
        if len(keep) > 1:
            self.shared.alarm(time.monotonic() + self.shared.pace.prefetch_s)

    def _keep(self, claims: Claims, tasks: Sequence[Claimed], asked: float) -> None:
        taken = time.monotonic()
        self.backlog.extend(Waiting(task, claims.now_ms, asked, taken) for task in tasks)


def _pair(task: Claimed) -> tuple[str, int]:
    return task.id, task.attempt
