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
from typing import Any

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Claimed, Claims, Completion, Failure, Note, Postponement
from miniqueue.runner import Ended, Runner, Shared, drain
from miniqueue.task import Priority

__all__ = ["Lane"]

log = logging.getLogger("miniqueue.worker")
WAITED_FOR = 2  # the fate of a result that was kept and that other tasks wait for
IDLE_S = 1.0  # R6: the longest that an idle worker waits for a hint
# Of ten claims one looks at low first and one at normal, so that neither ever starves.
HIGH: list[Priority] = ["high"] * 4
FIRST: list[Priority] = ["low", *HIGH, "normal", *HIGH]


class Lane:
    """`backlog` and `results` are read by the keeper too; deques make each step atomic."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.runner = Runner(shared)
        self.backlog: deque[tuple[Claimed, Claims, float]] = deque()
        self.results: deque[Ended] = deque()
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
            ran += self._run(task, claims, received)
        return ran

    def _run(self, task: Claimed, claims: Claims, received: float) -> int:
        began = time.monotonic()
        if began - max(received, self.shared.renewed) > self._settings.lease_s:
            return 0  # this process stood still: the task is not ours any more
        tasks = [task]
        if (most := self.runner.batch_of(task)) > 1:
            tasks += self._gather(task, most - 1)
        started_ms = claims.now_ms + int((time.monotonic() - received) * 1000)
        self.results.extend(self.runner.run(tasks, started_ms))
        return len(tasks)

    def _gather(self, task: Claimed, most: int) -> list[Claimed]:
        """More tasks of the same function: from the backlog, then by claims while it lingers."""
        found = self._of_backlog(task.name, most)
        end = time.monotonic() + self.shared.registry.get(task.name).handling.linger_ms / 1000
        with contextlib.suppress(BackendUnavailable):
            while len(found) < most and (left := end - time.monotonic()) > 0:
                found += self._claim_more(task.name, most - len(found), left)
        return found

    def _claim_more(self, name: str, most: int, wait_s: float) -> list[Claimed]:
        claims = self._client.run(self._protocol.claim(self.shared.worker, most))
        self.backlog.extend((task, claims, time.monotonic()) for task in claims.tasks)
        if not claims.tasks:
            self._client.run(self._protocol.wake(max(0.001, wait_s)))
        return self._of_backlog(name, most)

    def _of_backlog(self, name: str, most: int) -> list[Claimed]:
        found: list[Claimed] = []
        for item in list(self.backlog):
            if len(found) < most and item[0].name == name:
                with contextlib.suppress(ValueError):  # the keeper was faster
                    self.backlog.remove(item)
                    found.append(item[0])
        return found

    def relieve(self) -> None:
        """Send the results and release the backlog; raises nothing, a lease outlives an outage."""
        results = drain(self.results)
        held = drain(self.runner.interrupted)
        held += [(task.id, task.attempt) for task, _, _ in drain(self.backlog)]
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
        current = [(run.task.id, run.task.attempt) for run in self.runner.runs]
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
        first = FIRST[shared.claims % len(FIRST)]
        claim = self._protocol.claim(shared.worker, shared.pace.limit(), first=first)
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
        keep, hand_back = self.shared.pace.split(claims.tasks, self.runner.batch_of)
        self.backlog.extend((task, claims, received) for task in keep)
        if hand_back:
            held = [(task.id, task.attempt) for task in hand_back]
            self._client.run(self._protocol.release(self.shared.worker, held))
        if len(keep) > 1:
            self.shared.alarm(received + self.shared.pace.prefetch_s)
