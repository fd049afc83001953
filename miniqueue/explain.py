"""Plain sentences on a task: where it is, why it waits, why it ran twice. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from miniqueue.task import Task, TaskState

__all__ = ["Facts", "explain"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What surrounds a task: Redis' time in ms, its queue, its place in its list, its lease.

    `before` counts the tasks in the lists that go before its own; `parents` are the states of the
    tasks that it waits for, None where one is gone.
    """

    now_ms: int
    paused: bool
    workers: int
    place: int | None
    before: int
    lease_ms: float | None
    parents: Mapping[str, str | None] = field(default_factory=dict)


def explain(task: Task, facts: Facts) -> list[str]:
    """Sentences in the order in which one would tell them."""
    tell = {
        TaskState.DEFERRED: _deferred,
        TaskState.QUEUED: _queued,
        TaskState.SCHEDULED: _scheduled,
        TaskState.RUNNING: _running,
        TaskState.SUCCEEDED: _succeeded,
        TaskState.FAILED: _failed,
        TaskState.CANCELLED: _cancelled,
    }
    sentences = tell[task.state](task, facts) if task.state in tell else [f"It is {task.state}."]
    return [*sentences, *_history(task)]


def _deferred(task: Task, facts: Facts) -> list[str]:
    open_ones = {i: state for i, state in facts.parents.items() if state != "succeeded"}
    waits = [f"{i} ({state or 'gone'})" for i, state in open_ones.items()]
    done = len(facts.parents) - len(waits)
    if not waits:
        return ["All that it waits for has succeeded: it starts as soon as a worker looks."]
    more = f" and {len(waits) - 3:,} more" if len(waits) > 3 else ""
    already = f"; {_count(done, 'other')} succeeded" if done else ""
    return [f"It waits for task {', '.join(waits[:3])}{more}{already}."]


def _queued(task: Task, facts: Facts) -> list[str]:
    line = f"It waits in queue {task.queue!r} with priority {task.priority}"
    if facts.place is None:
        sentences = [f"{line}, far from the front."]
    else:
        sentences = [f"{line}, behind {_count(facts.place + facts.before, 'task')}."]
    if facts.paused:
        sentences.append("The queue is paused: nothing starts until it is resumed.")
    if not facts.workers:
        sentences.append("No worker serves this queue: start one with `miniqueue worker`.")
    if task.expires_ms is not None:
        sentences.append(f"If it has not started by {_clock(task.expires_ms)} it expires.")
    return sentences


def _scheduled(task: Task, facts: Facts) -> list[str]:
    due = task.due_ms or facts.now_ms
    left = (due - facts.now_ms) / 1000
    when = f"in {left:.1f} s, at {_clock(due)}" if left > 0 else "now, as soon as a worker looks"
    if task.put_off == "RateLimit":
        return [f"Its function is rate-limited: its turn comes {when}."]
    if task.put_off:
        return [f"The middleware {task.put_off} has put it off: it may start {when}."]
    if task.error is None:
        return [f"It is scheduled: it may start {when}."]
    return [
        f"Attempt {task.attempt} failed ({_error(task)}).",
        f"It will be tried again {when}; {_count(task.max_attempts - task.tries, 'attempt')} left.",
    ]


def _running(task: Task, facts: Facts) -> list[str]:
    sentences = [f"It runs on {task.worker}, attempt {task.attempt}."]
    if facts.lease_ms is not None:
        left = (facts.lease_ms - facts.now_ms) / 1000
        if left > 0:
            sentences.append(f"The worker's lease ends in {left:.1f} s unless it is renewed.")
        else:
            sentences.append(
                f"The worker's lease ran out {-left:.1f} s ago: the task will be taken back."
            )
    if task.cancel_requested:
        sentences.append("Its cancellation is asked for; its worker has not ended it yet.")
    return sentences


def _succeeded(task: Task, facts: Facts) -> list[str]:
    ran = "" if task.run_ms is None else f" in {task.run_ms:,.1f} ms"
    return [f"It succeeded on attempt {task.attempt}, on {task.worker}{ran}."]


def _failed(task: Task, facts: Facts) -> list[str]:
    return [
        f"It failed for good after {_count(task.tries, 'attempt')}: {_error(task)}.",
        "It can be tried again with `miniqueue retry`.",
    ]


def _cancelled(task: Task, facts: Facts) -> list[str]:
    return [f"It was cancelled: {(task.error or {}).get('message', 'no reason was given')}."]


def _history(task: Task) -> list[str]:
    sentences = []
    if task.lost_worker is not None and task.lost_ms is not None:
        sentences.append(
            f"{task.lost_worker} missed its lease at {_clock(task.lost_ms)}, so the task was "
            "taken back: it may have run more than once."
        )
    if task.released:
        sentences.append(
            f"{_count(task.released, 'attempt')} not counted: handed back unstarted, or made "
            "before a retry by hand."
        )
    return sentences


def _error(task: Task) -> str:
    error = task.error or {}
    kind = error.get("type")
    return (
        f"{kind}: {error.get('message', '')}"
        if kind
        else str(error.get("message", "no error was kept"))
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _clock(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S UTC")
