"""One typed function an operation. Each builds a Call (calls.py) and does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from miniqueue.errors import InvalidTransition, PayloadError, QueueFull, TaskExists, TaskNotFound
from miniqueue.protocol.calls import Call, entries, pairs, same
from miniqueue.protocol.keys import QueueKeys
from miniqueue.protocol.records import (
    Claimed,
    Claims,
    Completion,
    Failure,
    Note,
    Postponement,
    Submission,
)
from miniqueue.protocol.roster import Roster
from miniqueue.settings import Settings
from miniqueue.task import Priority, Task, decode, to_float, to_int

__all__ = ["Protocol"]

MOST_ONCE = 100  # keys that one task may ask for with once()
MOST_COUNTS = 8192  # numbers that a queue keeps: 41 for each of 199 functions
AT_ONCE = 100  # what promote, reclaim and advance move in one call, at the most
FORGOTTEN_AT_ONCE = 1000  # ids, of each set


class Protocol:
    """The operations on one queue, with its keys and the limits of the settings."""

    def __init__(self, settings: Settings, queue: str) -> None:
        self.queue = queue
        self.keys = QueueKeys(settings.namespace, queue)
        self.roster = Roster(settings.namespace)
        self._settings = settings
        self._keep_ms = int(settings.keep_s * 1000)
        self._keep_failed_ms = int(settings.keep_failed_s * 1000)

    # -- clients ---------------------------------------------------------------------------------

    def enqueue(self, submissions: Sequence[Submission]) -> Call[list[str]]:
        """Accept all of them or none; gives the ids.

        Raises QueueFull, TaskExists, and PayloadError for a task to wait for that is not there.
        """
        k, s = self.keys, self._settings
        args: list[str | int | float] = [k.prefix, s.max_queued, s.events_kept, self._keep_ms]
        for submission in submissions:
            args += submission.words()

        def parse(reply: Any) -> list[str]:
            if reply == "ok":
                return [submission.id for submission in submissions]
            if reply[0] == "full":
                raise QueueFull(self.queue, reply[1], s.max_queued)
            if reply[0] == "exists":
                raise TaskExists(reply[1])
            if reply[0] == "parent":
                raise PayloadError(f"after: no task has the id {reply[1]!r}")
            if reply[0] == "conflict":
                raise TaskExists(reply[2], reply[1])
            ids: list[str] = reply[1]
            return ids

        keys = (*k.ready, k.scheduled, k.deferred, k.events, k.wake, k.stats)
        return Call("enqueue", keys, args, parse)

    def get(self, task_id: str) -> Call[Task]:
        """Read one task. Raises TaskNotFound."""

        def parse(reply: Any) -> Task:
            fields = pairs(reply)
            if not fields:
                raise TaskNotFound(task_id)
            return Task.from_hash(task_id, fields)

        return Call("HGETALL", (self.keys.task(task_id),), (), parse)

    def wait(self, task_id: str) -> Call[str | None]:
        """Announce a waiter; gives the state, None where there is no such task.

        Together with block_for() and get() one round trip that ends when the task does.
        """
        return Call("wait", (self.keys.task(task_id), self.keys.done(task_id)), (), same)

    def block_for(self, task_id: str, timeout_s: float) -> Call[Any]:
        """Block until the token of an ended task comes, at most `timeout_s`."""
        return Call("BLPOP", (self.keys.done(task_id),), (timeout_s,), same)

    def cancel(self, task_id: str, reason: str = "cancelled by request") -> Call[str]:
        """Cancel; gives the state it was in. Raises TaskNotFound, InvalidTransition."""
        k = self.keys
        keys = (k.scheduled, k.finished, k.events, k.stats, *k.ready, k.deferred)
        args = (k.prefix, task_id, self._keep_ms, self._settings.events_kept, reason)

        def parse(state: str | None) -> str:
            if state is None:
                raise TaskNotFound(task_id)
            if state in ("succeeded", "failed", "cancelled"):
                raise InvalidTransition(task_id, state, "cancel")
            return state

        return Call("cancel", keys, args, parse)

    def retry(self, task_id: str) -> Call[str]:
        """A failed task again. Raises TaskNotFound, InvalidTransition."""
        k = self.keys
        keys = (k.failed, k.events, k.wake, k.stats, *k.ready)

        def parse(state: str | None) -> str:
            if state is None:
                raise TaskNotFound(task_id)
            if state == "orphaned":
                state = "without the results of the tasks it waited for; send the flow again"
            if state != "failed":
                raise InvalidTransition(task_id, state, "retry")
            return "queued"

        return Call("retry", keys, (k.prefix, task_id, self._settings.events_kept), parse)

    def purge(self, task_id: str) -> Call[bool]:
        """Forget a failed task now; False where it is none."""
        k = self.keys
        args = (k.prefix, task_id, self._settings.events_kept)
        return Call("purge", (k.failed, k.events, k.stats), args, bool)

    def pause(self) -> Call[bool]:
        """Stop claims of this queue; False where it was paused before."""
        return Call(
            "pause", (self.keys.paused, self.keys.events), (self._settings.events_kept,), bool
        )

    def resume(self) -> Call[bool]:
        """Allow claims again; False where it was not paused."""
        k = self.keys
        return Call("resume", (k.paused, k.events, k.wake), (self._settings.events_kept,), bool)

    # -- workers ---------------------------------------------------------------------------------

    def claim(self, worker: str, limit: int, *, first: Priority = "high") -> Call[Claims]:
        """Up to `limit` tasks: those of priority `first`, then high before normal before low."""
        k, s = self.keys, self._settings
        ready = sorted(k.ready, key=lambda key: not key.endswith(first))
        keys = (k.running, k.scheduled, k.paused, k.finished, k.events, k.wake, k.stats, *ready)
        args = (k.prefix, worker, limit, int(s.lease_s * 1000), s.events_kept, self._keep_ms)
        return Call("claim", keys, args, _claims)

    def extend(self, held: Iterable[tuple[str, int]]) -> Call[list[int]]:
        """Renew leases of (id, attempt): 0 lost, 1 renewed, 2 renewed and asked to cancel."""
        args = [
            self.keys.prefix,
            int(self._settings.lease_s * 1000),
            *(x for pair in held for x in pair),
        ]
        return Call("extend", (self.keys.running,), args, list)

    def complete(self, worker: str, ended: Sequence[Completion]) -> Call[list[int]]:
        """End attempts with results; 0 where the lease was lost."""
        k = self.keys
        args: list[str | int | float] = [
            k.prefix,
            worker,
            self._keep_ms,
            self._settings.events_kept,
        ]
        for c in ended:
            args += (c.id, c.attempt, c.result, c.started_ms, c.run_ms)
        return Call("complete", (k.running, k.finished, k.events, k.stats), args, list)

    def fail(self, worker: str, f: Failure) -> Call[int]:
        """End an attempt without a result; 0 where the lease was lost."""
        k = self.keys
        kept = (self._settings.events_kept, self._keep_failed_ms, self._keep_ms)
        args: list[str | int | float] = [k.prefix, worker, f.id, f.attempt, f.state, f.error]
        args += [f.delay_ms, f.started_ms, f.run_ms, f.reason, *kept]
        return Call(
            "fail", (k.running, k.scheduled, k.failed, k.finished, k.events, k.stats), args, int
        )

    def release(self, worker: str, held: Sequence[tuple[str, int]]) -> Call[list[int]]:
        """Hand back unstarted (id, attempt), given in the order in which they were claimed."""
        k = self.keys
        args = [
            k.prefix,
            worker,
            self._settings.events_kept,
            self._keep_ms,
            *(x for pair in reversed(held) for x in pair),
        ]
        keys = (k.running, k.events, k.wake, k.stats, *k.ready, k.finished)
        return Call("release", keys, args, lambda fates: fates[::-1])

    def ack(self, task_id: str, attempt: int) -> Call[bool]:
        """Acknowledge a task before it runs; False where the lease was lost: do not start it."""
        return Call("ack", (self.keys.task(task_id),), (attempt,), bool)

    def progress(self, task_id: str, attempt: int, value: str) -> Call[bool]:
        """How far a running attempt is (JSON); False where the lease was lost."""
        return self._report(task_id, attempt, "progress", [value])

    def note(self, note: Note) -> Call[bool]:
        """Log lines of a running attempt; False where the lease was lost."""
        return self._report(note.id, note.attempt, "log", note.lines)

    def _report(self, task_id: str, attempt: int, kind: str, values: Sequence[str]) -> Call[bool]:
        k, s = self.keys, self._settings
        args: list[str | int | float] = [attempt, kind, values[0], s.max_log_lines]
        args += [self._keep_failed_ms, *values[1:]]
        return Call("report", (k.task(task_id), k.logs(task_id)), args, bool)

    def emit(self, task_id: str, attempt: int, piece: str) -> Call[bool]:
        """A piece of output of a running attempt; False where the lease was lost."""
        k = self.keys
        args = (attempt, piece, self._settings.max_pieces, self._keep_ms)
        return Call("emit", (k.task(task_id), k.output(task_id)), args, bool)

    def read_output(
        self, task_id: str, after: str, *, block_ms: int, limit: int = 500
    ) -> Call[list[tuple[str, Mapping[str, str]]]]:
        """Pieces of output after a piece's id; with `block_ms` wait for the first one so long."""
        block = ("BLOCK", block_ms) if block_ms else ()
        words = (*block, "COUNT", limit, "STREAMS", self.keys.output(task_id), after)
        return Call("XREAD", (), words, entries)

    def save(self, task_id: str, attempt: int, checkpoint: str) -> Call[bool]:
        """A checkpoint (JSON) of a running attempt; False where the lease was lost."""
        return Call("save", (self.keys.task(task_id),), (attempt, checkpoint), bool)

    def saved(self, task_id: str) -> Call[str | None]:
        """The last checkpoint (JSON)."""
        return Call("HGET", (self.keys.task(task_id),), ("checkpoint",), same)

    def once(self, task_id: str, attempt: int, key: str) -> Call[int]:
        """1 for the first attempt that asks, 0 for later ones, -1 lease lost, -2 too many keys."""
        return Call("once", (self.keys.task(task_id),), (attempt, key, MOST_ONCE), int)

    def reserve(self, name: str, interval_ms: float) -> Call[int]:
        """Take the next start of a rate-limited function; gives the ms until then."""
        return Call("reserve", (self.keys.rate(name),), (interval_ms,), int)

    def postpone(self, worker: str, p: Postponement) -> Call[int]:
        """Put off a claimed task; 0 where the lease was lost."""
        k = self.keys
        kept = (self._settings.events_kept, self._keep_ms)
        args = (k.prefix, worker, p.id, p.attempt, p.delay_ms, p.reason, *kept)
        keys = (k.running, k.scheduled, k.events, k.stats, k.finished)
        return Call("postpone", keys, args, int)

    def wake(self, timeout_s: float) -> Call[Any]:
        """Block until a hint comes that there may be work, at most `timeout_s`."""
        return Call("BLPOP", (self.keys.wake,), (timeout_s,), same)

    def pass_on(self) -> Call[Any]:
        """Give back a hint that came to a worker which claims nothing more."""
        return Call("RPUSH", (self.keys.wake,), (1,), same)

    def trace(self, task_id: str) -> Call[str | None]:
        """The trace context that a task was sent with (W3C traceparent)."""
        return Call("HGET", (self.keys.task(task_id),), ("traceparent",), same)

    def count(self, news: Iterable[tuple[str, str, int]]) -> Call[int]:
        """Add numbers (kind, name, number) to what is counted; gives how many were."""
        words = [word for one in news for word in one]
        return Call("count", (self.keys.counts,), (MOST_COUNTS, *words), int)

    # -- maintenance, by every worker ------------------------------------------------------------

    def promote(self) -> Call[int]:
        """Due tasks become ready; gives how many, AT_ONCE at the most."""
        k = self.keys
        args = (k.prefix, AT_ONCE, self._settings.events_kept)
        return Call("promote", (k.scheduled, k.events, k.wake, k.stats, *k.ready), args, int)

    def reclaim(self) -> Call[int]:
        """Tasks whose lease ran out are taken back; gives how many, AT_ONCE at the most."""
        k = self.keys
        keys = (k.running, k.failed, k.events, k.wake, k.stats, *k.ready, k.finished)
        kept = (self._keep_failed_ms, self._settings.events_kept, self._keep_ms)
        return Call("reclaim", keys, (k.prefix, AT_ONCE, *kept), int)

    def advance(self) -> Call[int]:
        """Children of ended tasks are told; gives how many, AT_ONCE at the most."""
        k = self.keys
        keys = (k.ended, k.deferred, k.failed, k.events, k.wake, k.stats, *k.ready)
        args = (k.prefix, AT_ONCE, self._keep_failed_ms, self._settings.events_kept)
        return Call("advance", keys, args, int)

    def inputs(self, task_id: str) -> Call[list[str]]:
        """The results (JSON texts) of the tasks that this one has waited for, in their order."""

        def parse(reply: Any) -> list[str]:
            fields = pairs(reply)
            parents = decode(fields.get("after"), [])
            return [fields.get(f"input:{parent}", "null") for parent in parents]

        return Call("HGETALL", (self.keys.task(task_id),), (), parse)

    def forget(self) -> Call[int]:
        """Ids of tasks that Redis has forgotten leave the finished and failed sets."""
        return Call("forget", (self.keys.finished, self.keys.failed), (FORGOTTEN_AT_ONCE,), int)


def _claims(reply: list[Any]) -> Claims:
    now_ms = reply[0]
    return Claims(now_ms, reply[1], [_claimed(text, now_ms) for text in reply[2:]])


def _claimed(text: str, now_ms: int) -> Claimed:
    words = text.split("\0", 10)  # the arguments come last, and may hold anything
    task_id, attempt, most, timeout_s, since, released, takes, slot, name, kwargs, args = words
    since_ms = to_int(since) or 0
    return Claimed(
        task_id, to_int(attempt) or 1, name or "?", args or "[]", kwargs or None, to_int(most) or 1,
        (to_int(released) or 0) if released else 0, to_float(timeout_s) if timeout_s else None,
        takes, (to_int(slot) or 0) if slot else 0, since_ms if 0 < since_ms < now_ms else now_ms,
    )  # fmt: skip
