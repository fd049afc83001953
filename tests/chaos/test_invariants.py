"""Each invariant holds for a story that is right, and is broken by the same story gone wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from miniqueue.classroom.chaos.evidence import Evidence, Step
from miniqueue.classroom.chaos.history import History, Record
from miniqueue.classroom.chaos.invariants import INVARIANTS
from miniqueue.classroom.chaos.load import Item
from miniqueue.classroom.chaos.verdict import Verdict, judge
from miniqueue.settings import Settings
from miniqueue.task import Task, encode_json

LEASE_S = 2.0


class Story:
    """What happened to a few tasks; the id of key `a` is `id-a`."""

    def __init__(self, path: Path) -> None:
        self.evidence = Evidence(History(path / "h.jsonl"), {}, Settings(lease_s=LEASE_S))
        self._steps: dict[str, list[Step]] = {}
        self._effects: dict[str, list[int]] = {}
        self._fenced: dict[str, int] = {}
        self._tasks: dict[str, Task] = {}
        self._items: dict[str, Item] = {}

    def note(self, at: float, what: str, key: str = "", **more: object) -> None:
        record = Record(at, what, key, **more)  # type: ignore[arg-type]
        self.evidence.history.keep(record)

    def sent(self, key: str, job: str = "work", accepted: bool = True) -> None:
        self._items[key] = Item(key, 0, job, 0.1, "http")
        self.note(0, "sent", key)
        if accepted:
            self.note(0.1, "accepted", key, id=f"id-{key}")

    def step(self, at: float, key: str, verb: str, attempt: int, **more: str) -> None:
        words = {"worker": "w", "state": "", "reason": "", **more}
        self._steps.setdefault(f"id-{key}", []).append(Step(at, verb, attempt, **words))

    def run(self, at: float, key: str, attempt: int = 1, *, effect: bool = True) -> None:
        """A claim, a start, and an effect."""
        self.step(at, key, "claim", attempt)
        self.note(at, "started", key, id=f"id-{key}", attempt=attempt, worker="w")
        if effect:
            self._effects.setdefault(key, []).append(attempt)
            self._fenced[key] = attempt

    def ends(self, key: str, state: str = "succeeded", result: int = 1, why: str = "") -> None:
        fields = {"state": state, "name": "work", "result": str(result), "attempt": str(result)}
        if why:
            fields["error"] = encode_json({"type": why})
        self._tasks[f"id-{key}"] = Task.from_hash(f"id-{key}", fields)

    def done(self, at: float, key: str, attempt: int = 1) -> None:
        self.step(at, key, "complete", attempt)
        self.ends(key, result=attempt)

    def judged(self, **changes: object) -> Verdict:
        e = replace(self.evidence, items=self._items, tasks=self._tasks)
        e.effects, e.fenced = self._effects, self._fenced
        e.steps = self._steps
        for name, value in changes.items():
            setattr(e, name, value)
        return judge(e)

    def broken(self, **changes: object) -> list[str]:
        return self.judged(**changes).broken()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    for worker in ("w", "other"):
        story.note(0, "hired", worker=worker)
        story.note(0, "ready", worker=worker)
    yield story
    story.evidence.history.close()


def killed(story: Story, at: float = 1.5) -> None:
    """Worker w dies in the middle of task a, which is taken back in time."""
    story.sent("a")
    story.run(1, "a", effect=False)
    story.note(at, "died", worker="w")
    story.step(at + LEASE_S, "a", "reclaim", 1, state="queued")


def test_a_plain_run_is_valid(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.done(1.1, "a")
    verdict = story.judged()
    assert verdict.valid
    assert (verdict.attempted, verdict.acknowledged, verdict.ok, verdict.lost) == (1, 1, 1, 0)


def test_a_kill_and_a_second_run_are_valid_and_counted(story: Story) -> None:
    killed(story)
    story.run(3.6, "a", 2)
    story.done(3.7, "a", 2)
    verdict = story.judged()
    assert verdict.valid
    assert (verdict.duplicated, verdict.unexplained) == (1, 0)
    assert list(verdict.recovery_s) == pytest.approx([2.1])


def test_what_a_client_was_not_told_of_is_recovered_not_lost(story: Story) -> None:
    story.sent("a", accepted=False)
    story.run(1, "a")
    story.sent("b", accepted=False)
    verdict = story.judged()
    assert verdict.valid
    assert (verdict.attempted, verdict.acknowledged, verdict.recovered) == (2, 0, 1)


# -- loss ------------------------------------------------------------------------------------------


def test_lost_a_task_that_is_gone(story: Story) -> None:
    story.sent("a")
    assert story.broken() == ["nothing lost"]


def test_lost_a_task_that_ended_without_its_effect(story: Story) -> None:
    story.sent("a")
    story.ends("a", "failed", why="WorkerDied")
    assert story.broken() == ["nothing lost"]


def test_lost_a_task_that_waits_nowhere(story: Story) -> None:
    story.sent("a")
    story.ends("a", "queued")
    assert story.broken() == []  # it waits: whether it ever starts is another question
    problems = ["id-a has a hash and is in no structure"]
    assert story.broken(problems=problems)[0] == "nothing lost"


@pytest.mark.parametrize(
    ("job", "state", "why"),
    [
        ("doomed", "failed", "Fail"),
        ("poison", "failed", "WorkerDied"),
        ("once", "failed", "WorkerDied"),
        ("once", "failed", "Stopped"),
        ("work", "failed", "ParentFailed"),
        ("work", "cancelled", "Cancelled"),
    ],
)
def test_not_lost_what_ended_as_its_job_says(story: Story, job: str, state: str, why: str) -> None:
    story.sent("a", job)
    story.ends("a", state, result=3, why=why)
    assert "nothing lost" not in story.broken()


def test_unexpected_what_was_never_sent(story: Story) -> None:
    story.run(1, "a")
    assert story.broken() == ["nothing unexpected"]


def test_a_result_that_no_run_gave(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.ends("a", result=2)
    assert story.broken() == ["results are of runs"]


def test_a_result_of_an_attempt_that_the_sink_had_refused(story: Story) -> None:
    killed(story)
    story.run(3.6, "a", 2)
    story._effects["a"].append(1)  # the first attempt came back
    story.ends("a", result=1)
    assert story.broken() == ["results are of runs"]


# -- twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "state", "explained"),
    [
        ("reclaim", "queued", True),
        ("release", "", True),
        ("fail", "scheduled", True),
        ("fail", "failed", False),
        ("complete", "", False),
    ],
)
def test_a_second_start_needs_an_end_of_the_first(
    story: Story, verb: str, state: str, explained: bool
) -> None:
    story.sent("a")
    story.run(1, "a")
    story.step(1.2, "a", verb, 1, state=state)
    story.note(1.1, "died", worker="w")
    story.run(1.5, "a", 2)
    assert ("second starts are explained" not in story.broken()) is explained


def test_an_end_that_comes_after_the_second_start_explains_nothing(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.run(1.5, "a", 2)
    story.step(9, "a", "reclaim", 1, state="queued")
    assert "second starts are explained" in story.broken()


def test_at_most_once(story: Story) -> None:
    story.sent("a", "once")
    story.run(1, "a")
    story.step(1.2, "a", "release", 1)
    story.run(1.5, "a", 2)
    story.done(1.6, "a", 2)
    assert story.broken() == ["at most once"]


def test_a_cancelled_task_that_starts(story: Story) -> None:
    story.sent("a")
    story.note(0.5, "cancelled", "a", id="id-a")
    story.ends("a", "cancelled", why="Cancelled")
    assert story.broken() == []
    story.run(1, "a", effect=False)
    assert "cancelled never starts" in story.broken()


def test_a_task_that_was_cancelled_while_it_ran_had_started(story: Story) -> None:
    story.sent("a")
    story.run(1, "a", effect=False)
    story.note(0.9, "cancelled", "a", id="id-a", note="running")
    story.ends("a", "cancelled", why="Cancelled")
    assert story.broken() == []


# -- leases and states -----------------------------------------------------------------------------


def test_two_leases_at_a_time(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.step(1.2, "a", "claim", 2)
    assert "one lease at a time" in story.broken()


def test_an_attempt_number_that_does_not_rise(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.step(1.1, "a", "release", 1)
    story.run(1.2, "a", 1)
    story.done(1.3, "a")
    assert story.broken() == ["one lease at a time"]


def test_an_attempt_that_ends_when_it_is_over(story: Story) -> None:
    killed(story)
    story.step(3.6, "a", "fail", 1, state="scheduled")
    story.run(3.8, "a", 2)
    story.done(3.9, "a", 2)
    assert story.broken() == ["one lease at a time"]


@pytest.mark.parametrize(
    ("verb", "state"),
    [("complete", ""), ("fail", "failed"), ("cancel", "queued"), ("reclaim", "cancelled")],
)
def test_something_happens_after_the_end(story: Story, verb: str, state: str) -> None:
    story.sent("a")
    story.run(1, "a")
    story.note(1.1, "died", worker="w")
    story.step(1.2, "a", verb, 1, state=state)
    assert "ended is final" not in story.broken()
    story.step(1.3, "a", "promote", 1)
    assert "ended is final" in story.broken()


def test_a_task_that_is_not_what_its_end_said(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.done(1.1, "a")
    story.ends("a", "queued")
    assert story.broken() == ["ended is final"]


@pytest.mark.parametrize("what", ["", "died", "frozen", "down", "stall"])
def test_a_lease_runs_out_only_for_a_reason(story: Story, what: str) -> None:
    story.sent("a")
    story.run(1, "a", effect=False)
    if what == "stall":
        story.note(2, "stall", note="1.0")
    elif what:
        story.note(1.5, what, worker="" if what == "down" else "w")
    story.step(3.5, "a", "reclaim", 1, state="queued")
    story.run(3.6, "a", 2)
    story.done(3.7, "a", 2)
    assert story.broken() == ([] if what else ["leases of the healthy hold"])


def test_the_reason_of_another_worker_does_not_count(story: Story) -> None:
    story.sent("a")
    story.run(1, "a", effect=False)
    story.note(1.5, "died", worker="other")
    story.step(3.5, "a", "reclaim", 1, state="queued")
    assert "leases of the healthy hold" in story.broken()


def test_a_census_that_is_uneven(story: Story) -> None:
    story.note(3, "uneven", note="7 were accepted, 6 are there")
    assert story.broken() == ["one place for each task"]


# -- recovery --------------------------------------------------------------------------------------


def late(story: Story, at: float) -> list[str]:
    story.sent("a")
    story.run(1, "a", effect=False)
    story.note(1.5, "died", worker="w")
    story.step(at, "a", "reclaim", 1, state="queued")
    story.ends("a", "queued")
    return story.broken()


def test_recovery_within_the_lease_and_a_second(story: Story) -> None:
    assert late(story, 1.5 + LEASE_S + 0.9) == []


def test_recovery_too_late(story: Story) -> None:
    assert late(story, 1.5 + LEASE_S + 1.2) == ["recovery in time"]


def test_recovery_waits_for_redis_and_for_workers(story: Story) -> None:
    story.note(2, "down")
    story.note(5, "up")
    assert late(story, 9) == []


def test_recovery_waits_for_a_worker_that_is_there(story: Story) -> None:
    story.note(1, "frozen", worker="other")
    story.note(4, "thawed", worker="other")
    assert late(story, 5) == []


@pytest.mark.parametrize(
    ("ready", "reclaimed", "broken"),
    [
        (3.2, 6.0, []),  # nobody was up from 1.5 to 3.2
        (3.2, 6.4, ["recovery in time"]),
        (None, 8.9, []),  # a worker has 5 s to come up
        (None, 9.3, ["recovery in time"]),
    ],
)
def test_recovery_waits_for_a_worker_that_comes_up(
    story: Story, ready: float | None, reclaimed: float, broken: list[str]
) -> None:
    story.note(0.5, "died", worker="other")
    story.note(1.0, "hired", worker="new")
    if ready is not None:
        story.note(ready, "ready", worker="new")
    assert late(story, reclaimed) == broken


def outage(story: Story, starts: Sequence[float]) -> list[str]:
    story.note(2, "down")
    story.note(3, "up")
    for number, at in enumerate(starts):
        story.sent(f"t{number}")
        story.run(at, f"t{number}")
    return story.broken()


def test_consuming_again_in_time(story: Story) -> None:
    assert outage(story, [1, 7.5, 9]) == []


def test_consuming_again_too_late(story: Story) -> None:
    assert outage(story, [1, 8.5]) == ["consuming again after an outage"]


def test_nothing_to_consume_is_no_fault(story: Story) -> None:
    assert outage(story, [1]) == []


@pytest.mark.parametrize(("tries", "state", "held"), [(3, "failed", True), (2, "failed", False)])
def test_poison_ends_after_its_attempts(story: Story, tries: int, state: str, held: bool) -> None:
    story.sent("a", "poison")
    story.ends("a", state, result=tries, why="WorkerDied")
    assert story.broken() == ([] if held else ["poison ends"])


def test_poison_that_goes_on(story: Story) -> None:
    story.sent("a", "poison")
    for attempt in (1, 2, 3, 4):
        story.run(attempt, "a", attempt, effect=False)
        story.step(attempt + 0.5, "a", "reclaim", attempt, state="queued")
    assert "poison ends" in story.broken()


def test_what_is_left(story: Story) -> None:
    assert story.broken(left=["mq:x"]) == ["keys at baseline"]
    assert story.broken(left=[], waiting=3) == ["drained"]


def ticks(story: Story, *seconds: float) -> list[str]:
    for number, at in enumerate(seconds):
        due = int(story.evidence.history._began_ms + at * 1000) // 2000 * 2000
        fields = {"name": "pulse", "state": "succeeded", "due_ms": str(due), "result": "1"}
        story._tasks[f"tick-{number}"] = Task.from_hash(f"tick-{number}", fields)
    return story.broken()


def test_each_tick_once(story: Story) -> None:
    assert ticks(story, 4, 6, 8) == []


def test_a_tick_twice(story: Story) -> None:
    assert ticks(story, 4, 6, 6, 8) == ["each tick once"]


def test_a_tick_that_is_missing(story: Story) -> None:
    assert ticks(story, 4, 10) == ["each tick once"]


def test_a_tick_that_is_missing_in_an_outage(story: Story) -> None:
    story.note(3, "down")
    story.note(8, "up")
    assert ticks(story, 5, 14) == []


def test_the_guarantees_are_told_apart(story: Story) -> None:
    story.sent("a")
    story.run(1, "a")
    story.step(1.2, "a", "reclaim", 1, state="queued")
    story.run(2, "a", 2)
    story.done(2.1, "a", 2)
    story.sent("b", "once")
    story.ends("b", "failed", why="WorkerDied")
    before, after, fenced = story.judged().guarantees
    assert (before.accepted, before.undone, before.twice) == (1, 1, 0)
    assert (after.accepted, after.undone, after.twice) == (1, 0, 1)
    assert (fenced.accepted, fenced.undone, fenced.twice) == (1, 0, 0)


def test_every_invariant_says_what_it_is() -> None:
    assert all(invariant.__doc__ for invariant in INVARIANTS.values())
