"""Workers that are killed, stopped and frozen (R3, R4, R12). Real processes, real signals."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from miniqueue.errors import TaskFailed
from miniqueue.functions import crash, echo
from tests.crash.conftest import LEASE_S, Crew
from tests.crash.jobs import quick, stuck
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(25)]


def test_r12_a_task_whose_worker_is_killed_is_done_by_another(crew: Crew) -> None:
    crew.hire("w1", "w2")
    handle = crew.slow(60)
    killed = crew.at_work(handle)
    killed.kill()
    began = time.monotonic()
    assert handle.wait(timeout_s=10) == "attempt 2"
    assert time.monotonic() - began < LEASE_S + 1
    assert killed.exit_code == 128 + signal.SIGKILL
    assert crew.verbs(handle) == ["enqueue", "claim", "reclaim", "claim", "complete"]
    reclaim = crew.inspector.timeline(handle.id)[2]
    assert (reclaim.worker, reclaim.tasks[0].attempt, reclaim.state) == (killed.name, 1, "queued")
    assert f"{killed.name} missed its lease" in " ".join(crew.inspector.explain(handle.id))
    assert crew.inspector.check() == []


def test_r4_a_task_that_kills_its_workers_ends_in_failed_after_its_attempts(crew: Crew) -> None:
    crew.hire("w1", "w2", "w3", "w4", lease_s=0.6)
    handle = crew.queue.enqueue(crash)
    with pytest.raises(TaskFailed, match="its worker died 3 times"):
        handle.wait(timeout_s=10)
    assert handle.get().attempt == 3
    wait_for(lambda: sum(not worker.running for worker in crew.workers.values()) == 3)
    assert crew.verbs(handle) == ["enqueue", *["claim", "reclaim"] * 3]
    assert crew.queue.enqueue(echo, "still here").wait(timeout_s=5) == "still here"


def test_r12_sigterm_finishes_what_runs_and_exits_0(crew: Crew) -> None:
    crew.hire("w1")
    handle = crew.slow(0.8)
    behind = crew.queue.enqueue(echo, 1)
    crew.workers["w1"].signal(signal.SIGTERM)
    wait_for(lambda: not crew.workers["w1"].running)
    assert crew.workers["w1"].exit_code == 0
    assert (handle.state, handle.get().result) == ("succeeded", "attempt 1")
    assert behind.state == "queued"
    assert crew.inspector.workers() == []
    assert crew.inspector.check() == []


def test_r12_an_idle_worker_exits_0_on_sigterm_and_sigint(crew: Crew) -> None:
    crew.hire("w1", "w2")
    began = time.monotonic()
    crew.workers["w1"].signal(signal.SIGTERM)
    crew.workers["w2"].signal(signal.SIGINT)
    wait_for(lambda: not any(worker.running for worker in crew.workers.values()))
    assert time.monotonic() - began < 3
    assert [worker.exit_code for worker in crew.workers.values()] == [0, 0]


def test_r12_what_does_not_end_in_the_grace_period_is_released(crew: Crew) -> None:
    crew.hire("w1", grace_s=0.2)
    handle = crew.slow(60)
    crew.workers["w1"].signal(signal.SIGTERM)
    wait_for(lambda: not crew.workers["w1"].running)
    assert crew.workers["w1"].exit_code == 0
    released = handle.get()
    assert (released.state, released.attempt, released.tries) == ("queued", 1, 0)
    crew.hire("w2")
    assert handle.wait(timeout_s=5) == "attempt 2"
    assert crew.verbs(handle) == ["enqueue", "claim", "release", "claim", "complete"]


def test_r3_a_worker_that_comes_back_from_the_dead_changes_nothing(crew: Crew) -> None:
    crew.hire("w1", "w2")
    handle = crew.slow(1.5)
    frozen = crew.at_work(handle)
    frozen.signal(signal.SIGSTOP)
    assert handle.wait(timeout_s=10) == "attempt 2"
    frozen.signal(signal.SIGCONT)
    wait_for(lambda: "lease" in crew.log(frozen))
    done = handle.get()
    assert (done.state, done.result, done.attempt) == ("succeeded", "attempt 2", 2)
    assert done.worker != frozen.name
    assert crew.verbs(handle).count("complete") == 1
    assert crew.queue.enqueue(echo, "again").wait(timeout_s=5) == "again"
    assert crew.inspector.check() == []


def _progress(crew: Crew, tasks: int, total: int) -> None:
    """Let so many more tasks finish."""
    finished, raw = crew.queue.protocol.keys.finished, crew.queue.client.raw
    goal = min(total, raw.zcard(finished) + tasks)
    wait_for(lambda: raw.zcard(finished) >= goal)


def _told(crew: Crew, verb: str) -> Counter[str]:
    """How often a verb was told of each task."""
    events = crew.inspector.events(limit=10_000)
    return Counter(m.task_id for event in events if event.verb == verb for m in event.tasks)


def test_r12_kills_at_any_time_lose_nothing_and_every_second_run_is_explained(crew: Crew) -> None:
    crew.hire("w1", "w2", lease_s=0.4)
    total = 1200
    handles = crew.queue.enqueue_many(quick, [(i,) for i in range(total)])
    for turn in range(4):
        _progress(crew, 60, total)
        crew.workers[f"w{turn + 1}"].kill()
        crew.hire(f"w{turn + 3}", lease_s=0.4)
    assert [handle.wait(timeout_s=10) for handle in handles] == list(range(total))
    assert crew.inspector.check() == []
    claims, explained = _told(crew, "claim"), _told(crew, "reclaim") + _told(crew, "release")
    again = {task_id: times - 1 for task_id, times in claims.items() if times > 1}
    assert again == dict(explained)
    assert _told(crew, "complete") == Counter(handle.id for handle in handles)


def test_a_task_that_cannot_be_interrupted_is_told_and_its_worker_ends(crew: Crew) -> None:
    """C code that does not return: neither a signal nor an exception reaches it."""
    crew.hire("w1", timeout_s=0.3, grace_s=0.5)
    handle = crew.queue.enqueue(stuck)
    with pytest.raises(TaskFailed) as raised:
        handle.wait(timeout_s=15)
    assert raised.value.error["type"] == "TaskTimeout"
    assert "could not be interrupted for 5" in raised.value.error["message"]
    wait_for(lambda: not crew.workers["w1"].running)
    assert crew.workers["w1"].exit_code == 1
    assert crew.inspector.workers() == []
    assert crew.inspector.check() == []


def test_r12_sigterm_releases_a_task_that_cannot_be_interrupted(crew: Crew) -> None:
    crew.hire("w1", grace_s=0.2)
    handle = crew.queue.enqueue(stuck)
    wait_for(lambda: handle.state == "running")
    crew.workers["w1"].signal(signal.SIGTERM)
    wait_for(lambda: not crew.workers["w1"].running, 15)
    assert crew.workers["w1"].exit_code == 0
    task = handle.get()
    assert (task.state, task.tries) == ("queued", 0)
