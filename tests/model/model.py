"""The queue as it should be: a task is where its state says, and time passes when it is told to.

A method is an operation and gives what its Call gives; an error is the name of its class.
"""

from copy import deepcopy
from functools import partialmethod
from typing import Any

HOUR = 3_600_000
LEASE, KEEP, KEEP_FAILED, MOST = HOUR, 2 * HOUR, 4 * HOUR, 12
STAYS = {"running": LEASE, "succeeded": KEEP, "cancelled": KEEP, "failed": KEEP_FAILED}
ENDED, ERRORS = ("succeeded", "cancelled", "failed"), ("TaskExists", "PayloadError", "QueueFull")


class Task:
    state, priority, unique, digest, result = "", "normal", "", "", ""
    at = delay = expiry = expires = until = attempt = released = acked = pending = 0
    limit, cancel = 3, False
    after: tuple[str, ...] = ()

    def __init__(self, task_id: str, **given: Any) -> None:
        self.id = task_id
        vars(self).update(given)


class Model:
    def __init__(self) -> None:
        self.now, self.pushes, self.paused = 0, 0, False
        self.tasks, self.unique = dict[str, Task](), dict[str, Task]()
        self.children, self.ended = dict[str, list[str]](), list[str]()

    def get(self, task_id: str) -> Task | None:
        t = self.tasks.get(task_id)
        return None if t and t.state in ENDED and t.at <= self.now else t

    def held(self, task_id: str, attempt: int) -> Task | None:
        t = self.get(task_id)
        return t if t and (t.state, t.attempt) == ("running", attempt) else None

    def members(self, *states: str, until: float = float("inf")) -> list[Task]:
        found = [t for t in self.tasks.values() if t.state in states and t.at <= until]
        return sorted(found, key=lambda t: (t.at, t.id))

    def put(self, t: Task | None, state: str, ms: int = 0, *, first: bool = False) -> int:
        if t is None:
            return 0
        self.pushes += 1
        t.state, t.at = state, self.now + (ms or STAYS.get(state, 0))
        if state == "queued":
            t.at = -self.pushes if first else self.pushes
        self.ended += [t.id] * (waited_for := state in ENDED and t.id in self.children)
        return 1 + waited_for

    def enqueue(self, *batch: Task) -> list[str] | str:
        before, there = deepcopy(vars(self)), [t.id for t in batch if self.get(t.id)]
        ids = [self.accept(t, there) for t in batch]  # '' for an id that was there before
        fresh = len(self.tasks) > len(before["tasks"])
        full = fresh and len(self.members("queued", "scheduled", "deferred")) > MOST
        errors = [e for e in (*ids, "TaskExists" * ("" in ids), "QueueFull" * full) if e in ERRORS]
        vars(self).update(before if errors else {})
        return errors[0] if errors else ids

    def accept(self, t: Task, there: list[str]) -> str:
        older = self.unique.get(t.unique)
        if older and older.until > self.now:
            return older.id if older.digest == t.digest else "TaskExists"
        if (twice := self.get(t.id) and t.id not in there) or not all(map(self.get, t.after)):
            return "TaskExists" if twice else "PayloadError"
        t.until, t.expires = self.now + KEEP + t.delay, t.expiry and self.now + t.expiry
        self.tasks[t.id], self.unique[t.unique or t.id], t.pending = t, t, len(t.after)
        for parent in t.after:
            self.children.setdefault(parent, []).append(t.id)
            self.ended += [parent] * (self.tasks[parent].state in ENDED)
        if t.after:
            self.put(t, "deferred")
        else:
            self.put(t, "scheduled" if t.delay else "queued", t.delay)
        return "" if t.id in there else t.id

    def claim(self, limit: int, first: str) -> list[tuple[str, int]]:
        found = list[tuple[str, int]]()
        for priority in sorted(("high", "normal", "low"), key=lambda p: p != first):
            ready = [t for t in self.members("queued") if t.priority == priority]
            for t in ready[: 0 if self.paused else limit - len(found)]:
                if 0 < t.expires <= self.now:
                    self.put(t, "cancelled")
                else:
                    self.put(t, "running")
                    t.attempt += 1
                    found.append((t.id, t.attempt))
        return found

    def extend(self, task_id: str, attempt: int) -> int:
        t = self.held(task_id, attempt)
        return self.put(t, "running") + bool(t and t.cancel)

    def complete(self, task_id: str, attempt: int, result: str) -> int:
        if t := self.held(task_id, attempt):
            t.result = result
        return self.put(t, "succeeded")

    def fail(self, task_id: str, attempt: int, state: str, ms: int) -> int:
        t = self.held(task_id, attempt)
        if state == "scheduled" and not (t and t.cancel):
            return self.put(t, state, ms)
        return self.put(t, "failed" if state == "failed" else "cancelled")

    def release(self, task_id: str, attempt: int) -> int:
        if t := self.held(task_id, attempt):
            t.released += not t.cancel
            self.put(t, "cancelled" if t.cancel else "queued", first=True)
        return int(t is not None)

    def postpone(self, task_id: str, attempt: int, ms: int) -> int:
        if (t := self.held(task_id, attempt)) and not t.cancel:
            t.released += 1
            return self.put(t, "scheduled", ms)
        return min(1, self.put(t, "cancelled"))

    def ack(self, task_id: str, attempt: int) -> bool:
        if t := self.held(task_id, attempt):
            t.acked = attempt
        return t is not None

    def cancel(self, task_id: str) -> str:
        t = self.get(task_id)
        if t is None or t.state in ENDED:
            return "InvalidTransition" if t else "TaskNotFound"
        found, t.cancel = t.state, t.cancel or t.state == "running"
        self.put(t if found != "running" else None, "cancelled")
        return found

    def retry(self, task_id: str) -> str:
        t = self.get(task_id)
        if t is None or t.state != "failed" or t.pending:
            return "InvalidTransition" if t else "TaskNotFound"
        t.released, t.cancel, t.expires = t.attempt, False, 0
        self.put(t, "queued")
        return "queued"

    def purge(self, task_id: str) -> bool:
        if t := next((t for t in self.members("failed") if t.id == task_id), None):
            del self.tasks[task_id]
            self.unique = {key: u for key, u in self.unique.items() if u is not t}
        return t is not None

    def promote(self) -> int:
        return sum(self.put(t, "queued") for t in self.members("scheduled", until=self.now))

    def reclaim(self) -> int:
        lost = self.members("running", until=self.now)
        for t in lost:
            over = t.attempt - t.released >= t.limit or t.acked == t.attempt
            state = "cancelled" if t.cancel else "failed" if over else "queued"
            self.put(t, state, first=True)
        return len(lost)

    def advance(self) -> int:
        told = list[str]()
        while self.ended:
            parent = self.ended.pop(0)
            p, children = self.get(parent), self.children.get(parent, [])
            if p and p.state not in ENDED:
                continue
            for t in filter(None, map(self.get, children)):
                ok = p is not None and p.state == "succeeded"
                t.pending -= ok and t.state == "deferred"
                if t.state == "deferred" and not (ok and t.pending):
                    self.put(t, "queued" if ok else "failed")
            told += children
            self.children[parent] = []
        return len(told)

    def forget(self) -> int:
        over = self.members(*ENDED, until=self.now)
        self.tasks = {i: t for i, t in self.tasks.items() if t not in over}
        return len(over)

    def pause(self, paused: bool = True) -> bool:
        changed, self.paused = self.paused != paused, paused
        return changed

    resume = partialmethod(pause, False)
