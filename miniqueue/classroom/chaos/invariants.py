"""Invariants: what must hold of any run, whatever went wrong in it. Pure functions of the evidence.

Each gives a violation for every task or moment in which it is broken; its name is what a planted
fault must be caught by.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from miniqueue.classroom.chaos.evidence import NEVER, Evidence, Step, covered, overlap_s
from miniqueue.classroom.chaos.history import Record
from miniqueue.classroom.chaos.load import POISON_ATTEMPTS
from miniqueue.task import TERMINAL, TaskState

__all__ = ["INVARIANTS", "Violation", "recoveries"]

LATE_S = 1.0  # reclaim comes within the lease and this
BACK_S = 5.0  # R11: consuming again after an outage within this
NOTICE_S = 0.5  # a death is noticed so late at the most
TICK_MS = 2000
# What may lie between two starts of a task: (verb, state).
AGAIN = (("reclaim", "queued"), ("release", ""), ("fail", "scheduled"))
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant; `key` or `task_id` name the task, where it is one."""

    invariant: str
    sentence: str
    key: str = ""
    task_id: str = ""


Found = Iterator[tuple[str, str, str]]  # sentence, key, task id


# -- loss ------------------------------------------------------------------------------------------


def nothing_lost(e: Evidence) -> Found:
    """Every accepted task had its effect, or ended with a reason that its job gave."""
    misplaced = {problem.split()[0] for problem in e.problems}
    for key, task_id in e.accepted.items():
        if key in e.effects or _may_end_without(e, key):
            continue
        task = e.task(key)
        if task is None:
            yield f"{key} was accepted and is gone, without its effect", key, task_id
        elif task.state in TERMINAL:
            yield f"{key} was accepted and is {task.state} without its effect", key, task_id
        elif task_id in misplaced:
            yield f"{key} was accepted and will never start: it is in no structure", key, task_id


def _may_end_without(e: Evidence, key: str) -> bool:
    task, job = e.task(key), e.items[key].job
    if task is None:
        return False
    why = (task.error or {}).get("type")
    if task.state is TaskState.CANCELLED:
        return key in e.cancelled or why == "Cancelled"
    allowed = {"doomed": ("Fail",), "poison": ("WorkerDied",), "once": ("WorkerDied", "Stopped")}
    return task.state is TaskState.FAILED and why in (*allowed.get(job, ()), "ParentFailed")


def nothing_unexpected(e: Evidence) -> Found:
    """What ran had been sent."""
    for key, runs in e.starts.items():
        if key not in e.sent:
            yield f"{key} ran and was never sent", key, runs[0].id


def results_are_of_runs(e: Evidence) -> Found:
    """A kept result names an attempt that had its effect, and the fenced sink kept that one's."""
    for key, task_id in e.accepted.items():
        task = e.task(key)
        if task is None or task.state is not TaskState.SUCCEEDED:
            continue
        if task.result not in e.effects.get(key, ()):
            yield f"{key} has the result {task.result}, which no run gave", key, task_id
        elif e.fenced.get(key) != task.result:
            kept = e.fenced.get(key)
            told = f"the fenced sink has attempt {kept}, the queue {task.result}"
            yield f"{key}: {told}", key, task_id


# -- twice -----------------------------------------------------------------------------------------


def second_starts_are_explained(e: Evidence) -> Found:
    """A task starts again only after a recorded expiry, release or exception.

    By attempts, not by time: a worker that stood still may start after the one that took over.
    """
    for key, runs in e.starts.items():
        for run, later in itertools.pairwise(sorted(runs, key=lambda run: run.attempt)):
            if not _explained(e, run, later):
                told = f"attempt {run.attempt} on {run.worker or '?'}"
                yield f"{key} started again at {later.at:.2f} s, nothing ended {told}", key, run.id


def _explained(e: Evidence, run: Record, later: Record) -> bool:
    if (run.key, run.attempt) in e.raised:
        return True
    return any(
        step.attempt == run.attempt and (step.verb, step.state) in AGAIN
        for step in e.steps.get(run.id, ())
        if step.at <= later.at + NOTICE_S
    )


def at_most_once(e: Evidence) -> Found:
    """A task that is acknowledged before it runs starts once."""
    for key, runs in e.starts.items():
        if key in e.items and e.items[key].job == "once" and len(runs) > 1:
            yield f"{key} is at most once and started {len(runs)} times", key, runs[0].id


def cancelled_never_starts(e: Evidence) -> Found:
    """A task that was cancelled while it waited does not start afterwards."""
    for key, told in e.cancelled.items():
        for run in e.starts.get(key, ()):
            if not told.note and run.at > told.at:
                yield f"{key} was cancelled at {told.at:.2f} s and started later", key, told.id


# -- leases and states, by the events --------------------------------------------------------------


def one_lease_at_a_time(e: Evidence) -> Found:
    """An attempt begins when none is open, and only the open one can end."""
    for task_id, steps in e.steps.items():
        opened, last = 0, 0
        for step in steps:
            if step.verb == "claim":
                if opened or step.attempt <= last:
                    yield f"attempt {step.attempt} was claimed after {last}", "", task_id
                opened = last = step.attempt
            elif step.verb in ("complete", "fail", "release", "postpone", "reclaim"):
                if step.attempt != opened:
                    yield f"{step.verb} of attempt {step.attempt}, which was over", "", task_id
                opened = 0


def ended_is_final(e: Evidence) -> Found:
    """Nothing happens to a task that has ended, and it stays as it ended."""
    for task_id, steps in e.steps.items():
        ending: Step | None = None
        for step in steps:
            if ending is not None:
                yield f"{step.verb} after it had ended by {ending.verb}", "", task_id
            if _end(step):
                ending = step
        task = e.tasks.get(task_id)
        if ending is not None and task is not None and task.state != _end(ending):
            yield f"it ended {_end(ending)} and is {task.state}", "", task_id


def _end(step: Step) -> str:
    """The state in which this step ends a task, or nothing."""
    if step.verb == "complete":
        return "succeeded"
    if step.verb == "cancel":
        return "" if step.state == "running" else "cancelled"
    return step.state if step.state in ENDED else ""


def leases_of_the_healthy_hold(e: Evidence) -> Found:
    """A lease runs out only where its worker died or stood still, or Redis did."""
    lease_s = e.settings.lease_s
    for task_id, steps in e.steps.items():
        for step in (s for s in steps if s.verb == "reclaim"):
            since = step.at - lease_s - LATE_S
            died = e.deaths.get(step.worker, NEVER) <= step.at + NOTICE_S
            still = [*e.frozen.get(step.worker, []), *e.outages]
            still += [(a, b) for a, b in e.stalls if b - a >= lease_s / 3]
            if not died and not covered(still, since, step.at):
                yield f"its lease ran out, and {step.worker} was well", "", task_id


def one_place(e: Evidence) -> Found:
    """At every moment accepted tasks and the tasks in all states are the same number."""
    for record in e.history.of("uneven"):
        yield f"at {record.at:.1f} s {record.note}", "", ""
    for problem in e.problems:
        yield problem, "", problem.split()[0]


# -- recovery --------------------------------------------------------------------------------------


def recovery_in_time(e: Evidence) -> Found:
    """A task of a dead worker is taken back within its lease and a second."""
    for task_id, steps in e.steps.items():
        for step in (s for s in steps if s.verb == "reclaim"):
            died = e.deaths.get(step.worker, NEVER)
            if died > step.at:
                continue
            late = step.at - died - e.settings.lease_s
            if late <= LATE_S:  # most are: what may excuse the others takes long to find out
                continue
            allowed = LATE_S + overlap_s(e.stalls, died, step.at)
            allowed += e.unmanned_s(died, step.at)
            if covered(e.outages, died, step.at):
                allowed += BACK_S + overlap_s(e.outages, died, step.at)
            if late > allowed:
                yield f"it was taken back {late:.2f} s after its lease", "", task_id


def consuming_again(e: Evidence) -> Found:
    """After an outage of Redis tasks start again within 5 s (R11)."""
    starts = sorted(run.at for runs in e.starts.values() for run in runs)
    for _, up in e.outages:
        if up == NEVER:
            continue
        horizon = up + BACK_S + overlap_s(e.stalls, up, up + BACK_S)
        horizon += e.unmanned_s(up, min(horizon, up + BACK_S))
        later = any(at > horizon for at in starts)  # something was there to start
        if later and not any(up < at <= horizon for at in starts):
            yield f"Redis was back at {up:.1f} s, nothing started by {horizon:.1f} s", "", ""


def poison_ends(e: Evidence) -> Found:
    """A task that kills its workers ends in failed after exactly its attempts."""
    for key, task_id in e.accepted.items():
        if e.items[key].job != "poison":
            continue
        task, starts = e.task(key), len(e.starts.get(key, ()))
        if starts > POISON_ATTEMPTS:
            yield f"{key} started {starts} times, its limit is {POISON_ATTEMPTS}", key, task_id
        elif task is not None and task.state is not TaskState.FAILED:
            yield f"{key} is {task.state} after {task.tries} attempts", key, task_id
        elif task is not None and task.tries != POISON_ATTEMPTS:
            yield f"{key} failed after {task.tries} attempts, not {POISON_ATTEMPTS}", key, task_id


def drained(e: Evidence) -> Found:
    """When the faults are over, all that was accepted ends."""
    if e.waiting:
        yield f"{e.waiting} tasks had not ended when the run gave up", "", ""


def keys_at_baseline(e: Evidence) -> Found:
    """Every key that is left belongs to an empty queue or has a time to live."""
    for key in e.left:
        yield f"the key {key} stays for ever", "", ""


def each_tick_once(e: Evidence) -> Found:
    """A schedule sends each of its ticks once, whoever looks at it."""
    ticks = Counter(t.due_ms for t in e.tasks.values() if t.name == "pulse")
    for due_ms, count in ticks.items():
        if count > 1:
            yield f"the tick of {due_ms} was sent {count} times", "", ""
    times = sorted(t for t in ticks if t is not None)
    for due_ms in range(times[0], times[-1], TICK_MS) if times else ():
        at = e.history.seconds(due_ms)
        spans = [(a, b + BACK_S + LATE_S) for a, b in [*e.outages, *e.stalls]]
        if due_ms not in ticks and not covered(spans, at, at) and not e.unmanned_s(at, at + 3):
            yield f"the tick of {at:.1f} s was never sent", "", ""


INVARIANTS: dict[str, Callable[[Evidence], Found]] = {
    "nothing lost": nothing_lost,
    "nothing unexpected": nothing_unexpected,
    "results are of runs": results_are_of_runs,
    "second starts are explained": second_starts_are_explained,
    "at most once": at_most_once,
    "cancelled never starts": cancelled_never_starts,
    "one lease at a time": one_lease_at_a_time,
    "ended is final": ended_is_final,
    "leases of the healthy hold": leases_of_the_healthy_hold,
    "one place for each task": one_place,
    "recovery in time": recovery_in_time,
    "consuming again after an outage": consuming_again,
    "poison ends": poison_ends,
    "drained": drained,
    "keys at baseline": keys_at_baseline,
    "each tick once": each_tick_once,
}


def recoveries(e: Evidence) -> list[float]:
    """Seconds from each death in the middle of a task to that task's next start."""
    found = []
    for runs in e.starts.values():
        for run, later in itertools.pairwise(sorted(runs, key=lambda run: run.attempt)):
            died = e.deaths.get(run.worker, NEVER)
            if run.at <= died <= later.at and (run.key, run.attempt) not in e.raised:
                found.append(later.at - died)
    return sorted(found)
