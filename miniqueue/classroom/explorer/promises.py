"""Promises: the invariants of miniqueue, each with the name that docs and tests call it by.

Programs tell of `start` and `effect` (task, attempt) outside Redis, and of each lease that Redis
granted: `lease` (task, attempt, its ms). The event stream tells of reclaims, releases and fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from miniqueue.checkup import check
from miniqueue.classroom.explorer.process import Record
from miniqueue.classroom.explorer.scenario import Invariant, View
from miniqueue.protocol.calls import Call, T
from miniqueue.protocol.keys import QueueKeys
from miniqueue.redis_client import Client, Sent

__all__ = ["fold", "promises"]

ENDED = ("succeeded", "failed", "cancelled")
OUTCOME = ("state", "attempt", "result", "error", "finished_ms")  # of an ended task: fixed


SENTENCES = {
    "each-task-in-its-place": "each task is in exactly the structure that its state names",
    "end-is-final": "a task that has ended never changes",
    "result-of-a-run": "a succeeded task has the result of its last attempt, which ran to its end",
    "attempts-count": "each start of a task has a higher attempt number than the ones before, and "
    "no more attempts start than are allowed",
    "second-start-explained": "a task starts again only after its attempt was taken back, handed "
    "back or failed",
    "lease-kept": "no task is taken back before its lease has run out",
    "cancelled-never-starts": "a task that was cancelled while it waited never starts",
    "deaths-count": "a task whose workers died as often as it may be tried ends in failed",
    "every-task-ends": "every accepted task ends in the end",
}


def promises(keys: QueueKeys, tasks: Sequence[str], max_attempts: int) -> list[Invariant]:
    """All of them, for tasks with these ids. A task returns the number of its attempt."""
    rules = _Rules(keys, tasks, max_attempts)
    checks = {
        "each-task-in-its-place": rules.in_its_place,
        "end-is-final": rules.final,
        "result-of-a-run": rules.result,
        "attempts-count": rules.attempts,
        "second-start-explained": rules.explained,
        "lease-kept": rules.lease_kept,
        "cancelled-never-starts": rules.cancelled,
        "deaths-count": rules.deaths,
        "every-task-ends": rules.ends,
    }
    late = ("deaths-count", "every-task-ends")
    return [Invariant(name, SENTENCES[name], checks[name], name in late) for name in SENTENCES]


def fold(log: Mapping[Record, int], new: Sequence[Record], now_ms: int) -> dict[Record, int]:
    """What the promises need of the past: starts, effects, the last lease of an attempt that runs,
    and which attempts were taken back, handed back or failed."""
    kept = dict(log)
    for record in new:
        if record[0] == "lease":
            lease = (*record[:3], now_ms + record[3])
            for older in [r for r in kept if r[:3] == lease[:3]]:
                del kept[older]
            kept[lease] = 1
        elif record[0] != "verb":
            kept[record] = kept.get(record, 0) + 1
    for verb, task, attempt in _events(new):
        if verb in ("reclaim", "release", "fail", "complete"):
            for ended in [r for r in kept if r[:3] == ("lease", task, attempt)]:
                del kept[ended]
            if verb != "complete":
                kept[verb, task, attempt] = 1
    return kept


class _Rules:
    def __init__(self, keys: QueueKeys, tasks: Sequence[str], max_attempts: int) -> None:
        self._keys = keys
        self._tasks = tasks
        self._most = max_attempts

    def in_its_place(self, view: View) -> str | None:
        wrong = check(_Reader(view), self._keys)
        return wrong[0] if wrong else None

    def final(self, view: View) -> str | None:
        for task in self._tasks:
            before = view.before.get(self._keys.task(task), {})
            after = view.data.get(self._keys.task(task), {})
            if before.get("state") not in ENDED or not after:
                continue
            for name in OUTCOME:
                if before.get(name) != after.get(name):
                    return (
                        f"task {task} had ended, and its {name} went from "
                        f"{before.get(name)} to {after.get(name)}"
                    )
        return None

    def result(self, view: View) -> str | None:
        for task in self._tasks:
            found = view.data.get(self._keys.task(task), {})
            if found.get("state") != "succeeded":
                continue
            attempt = int(found["attempt"])
            if not view.count("effect", task, attempt):
                return f"task {task} is succeeded, and attempt {attempt} has not run to its end"
            if json.loads(found.get("result", "null")) != attempt:
                return f"task {task} was at attempt {attempt} and kept {found.get('result')}"
        return None

    def attempts(self, view: View) -> str | None:
        for _, task, attempt in _told(view.new, "start"):
            if any(n >= attempt for _, _, n in _others(view, task, attempt)):
                return f"attempt {attempt} of task {task} started twice, or after a later one"
            released = view.count("release", task)
            if attempt > self._most + released:
                return f"attempt {attempt} of task {task} started, {self._most} are allowed"
        return None

    def explained(self, view: View) -> str | None:
        for _, task, attempt in _told(view.new, "start"):
            for _, _, earlier in _others(view, task, attempt):
                if not any(view.count(verb, task, earlier) for verb in ("reclaim", "fail")):
                    return (
                        f"attempt {attempt} of task {task} started, and nothing had happened to "
                        f"attempt {earlier}"
                    )
        return None

    def lease_kept(self, view: View) -> str | None:
        for verb, task, attempt in _events(view.new):
            if verb != "reclaim":
                continue
            for record in view.log_before:
                if record[:3] == ("lease", task, attempt) and record[3] > view.now_ms:
                    left = (record[3] - view.now_ms) / 1000
                    return (
                        f"attempt {attempt} of task {task} was taken back, and Redis had granted "
                        f"its lease for {left:g} s more"
                    )
        return None

    def cancelled(self, view: View) -> str | None:
        for _, task, attempt in _told(view.new, "start"):
            state = view.data.get(self._keys.task(task), {}).get("state")
            if state == "cancelled":
                return f"task {task} is cancelled, and attempt {attempt} of it started"
        return None

    def deaths(self, view: View) -> str | None:
        for task in self._tasks:
            state = view.data.get(self._keys.task(task), {}).get("state")
            if view.count("reclaim", task) >= self._most and state not in ("failed", "cancelled"):
                return f"task {task} is {state}, and {self._most} workers have died on it"
        return None

    def ends(self, view: View) -> str | None:
        for task in self._tasks:
            state = view.data.get(self._keys.task(task), {}).get("state", "gone")
            if state not in ENDED:
                return f"task {task} is {state} after a healthy worker has run"
        return None


def _told(records: Sequence[Record], kind: str) -> Iterator[Record]:
    return (record for record in records if record[0] == kind)


def _others(view: View, task: str, attempt: int) -> Iterator[Record]:
    """Starts of the task besides this one."""
    for record, count in view.log.items():
        if record[:2] == ("start", task) and (record[2] != attempt or count > 1):
            yield record


def _events(records: Sequence[Record]) -> Iterator[tuple[str, str, int]]:
    """(verb, task, attempt) of entries of the event stream."""
    for record in records:
        if record[0] == "verb":
            fields = dict(zip(record[::2], record[1::2], strict=True))
            for word in str(fields["tasks"]).split():
                task, attempt = word.split("/")[:2]
                yield str(fields["verb"]), task, int(attempt)


class _Reader(Client):
    """What checkup reads of Redis, answered from a View: the same check, a hundred times faster."""

    def __init__(self, view: View) -> None:
        super().__init__(None)
        self._data = view.data
        self._now_ms = view.now_ms

    def run(self, call: Call[T]) -> T:
        answers: Mapping[str, Callable[[Call[Any]], Any]] = {
            "TIME": lambda call: [str(self._now_ms // 1000), str(self._now_ms % 1000 * 1000)],
            "LRANGE": lambda call: list(self._data.get(call.keys[0], [])),
            "ZRANGE": lambda call: [w for pair in self._data.get(call.keys[0], []) for w in pair],
            "HGETALL": lambda call: dict(self._data.get(call.keys[0], {})),
            "SCAN": self._scan,
        }
        return call.parse(answers[call.name](call))

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        return Sent(lambda: [self.run(call) for call in calls])

    def _scan(self, call: Call[Any]) -> Any:
        start = str(call.args[2]).replace("\\", "").removesuffix("*")
        return ["0", [key for key in self._data if key.startswith(start)]]
