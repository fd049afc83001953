"""Attempts read from events: which claim ran where, from when to when, and how it ended."""

from __future__ import annotations

import pytest

from miniqueue.classroom.attempts import Attempt, attempts_of
from miniqueue.views import Event, Mark


def claim(at_ms: int, *tasks: str, worker: str = "w0", attempt: int = 1) -> Event:
    marks = tuple(Mark(task, attempt) for task in tasks)
    return Event(f"{at_ms}-0", at_ms, "claim", marks, worker)


def end(at_ms: int, verb: str, mark: Mark, *, worker: str = "w0", state: str = "") -> Event:
    return Event(f"{at_ms}-0", at_ms, verb, (mark,), worker, state)


def test_a_completed_attempt_has_the_times_that_its_worker_measured() -> None:
    events = [claim(1000, "a"), end(1300, "complete", Mark("a", 1, 1010, 250.0))]
    assert attempts_of(events) == [Attempt("w0", "a", 1, 1010, 1260, "succeeded")]
    assert attempts_of(events)[0].seconds == pytest.approx(0.25)


def test_a_lost_attempt_lasts_until_its_lease_was_seen_to_have_run_out() -> None:
    events = [
        claim(1000, "a"),
        end(3010, "reclaim", Mark("a", 1), state="queued"),
        claim(3020, "a", worker="w1", attempt=2),
        end(3600, "complete", Mark("a", 2, 3020, 500.0), worker="w1"),
    ]
    assert attempts_of(events) == [
        Attempt("w0", "a", 1, 1000, 3010, "lost"),
        Attempt("w1", "a", 2, 3020, 3520, "succeeded"),
    ]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("scheduled", "failed"), ("failed", "failed"), ("cancelled", "cancelled")],
)
def test_an_attempt_that_raised_failed_whether_or_not_the_task_is_tried_again(
    state: str, outcome: str
) -> None:
    events = [claim(1000, "a"), end(1300, "fail", Mark("a", 1, 1000, 90.0), state=state)]
    assert [attempt.outcome for attempt in attempts_of(events)] == [outcome]


def test_a_released_attempt_ends_where_it_was_handed_back() -> None:
    events = [claim(1000, "a"), end(1200, "release", Mark("a", 1))]
    assert attempts_of(events) == [Attempt("w0", "a", 1, 1000, 1200, "released")]


def test_an_attempt_without_an_end_still_runs_at_the_last_event() -> None:
    events = [claim(1000, "a"), claim(1500, "b", worker="w1")]
    assert attempts_of(events) == [
        Attempt("w0", "a", 1, 1000, 1500, "running"),
        Attempt("w1", "b", 1, 1500, 1500, "running"),
    ]


def test_one_event_can_carry_several_tasks_and_the_order_is_that_of_the_claims() -> None:
    ends = Event(
        "1900-0", 1900, "complete", (Mark("b", 1, 1001, 10.0), Mark("a", 1, 1011, 10.0)), "w0"
    )
    assert [attempt.task for attempt in attempts_of([claim(1000, "a", "b"), ends])] == ["a", "b"]


def test_only_the_tasks_asked_for_are_told() -> None:
    assert [a.task for a in attempts_of([claim(1000, "a", "b", "c")], ["c", "a"])] == ["a", "c"]


def test_a_claim_before_the_first_event_is_told_only_if_its_end_says_when_it_started() -> None:
    ends = [
        end(2000, "complete", Mark("a", 1, 900, 100.0)),
        end(2001, "reclaim", Mark("b", 1), state="queued"),
    ]
    assert attempts_of(ends) == [Attempt("w0", "a", 1, 900, 1000, "succeeded")]


def test_events_that_are_no_attempt_tell_of_none() -> None:
    others = ("enqueue", "promote", "retry", "cancel")
    assert attempts_of([end(1000, verb, Mark("a", 0)) for verb in others]) == []
