"""explain.py: a sentence for every case."""

from __future__ import annotations

from typing import Any

import pytest

from miniqueue.explain import Facts, explain
from miniqueue.task import Task, TaskState

NOW = 1_700_000_000_000  # 22:13:20 UTC


def told(fields: dict[str, Any], **facts: Any) -> str:
    """What explain says of a task with these fields, in these surroundings."""
    given = {"now_ms": NOW, "paused": False, "workers": 1, "place": None, "before": 0}
    around = Facts(**{**given, "lease_ms": None, **facts})
    task = Task.from_hash("00", {name: str(value) for name, value in fields.items()})
    return " ".join(explain(task, around))


QUEUED = {"state": "queued"}
RUNNING = {"state": "running", "worker": "w1", "attempt": 2}
ERROR = '{"type":"ValueError","message":"no"}'

CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (QUEUED, {"place": 0}, "It waits in queue 'default' with priority normal, behind 0 tasks."),
    (QUEUED, {"place": 1}, "behind 1 task."),
    (QUEUED, {"place": 2, "before": 1500}, "behind 1,502 tasks."),
    (QUEUED, {}, "far from the front."),
    (QUEUED, {"place": 0, "paused": True}, "The queue is paused"),
    (QUEUED, {"place": 0, "workers": 0}, "No worker serves this queue"),
    ({**QUEUED, "expires_ms": NOW}, {}, "If it has not started by 22:13:20 UTC it expires."),
    ({"state": "scheduled", "due_ms": NOW + 1500}, {}, "it may start in 1.5 s, at 22:13:21 UTC."),
    ({"state": "scheduled", "due_ms": NOW - 1}, {}, "it may start now, as soon as a worker looks."),
    (
        {
            "state": "scheduled",
            "attempt": 1,
            "max_attempts": 3,
            "error": ERROR,
            "due_ms": NOW + 2e3,
        },
        {},
        "Attempt 1 failed (ValueError: no). It will be tried again in 2.0 s, at 22:13:22 UTC; "
        "2 attempts left.",
    ),
    (
        {"state": "scheduled", "attempt": 4, "released": 2, "max_attempts": 3, "error": ERROR},
        {},
        "1 attempt left.",
    ),
    (RUNNING, {}, "It runs on w1, attempt 2."),
    (RUNNING, {"lease_ms": NOW + 1500}, "The worker's lease ends in 1.5 s unless it is renewed."),
    (RUNNING, {"lease_ms": NOW - 1500}, "The worker's lease ran out 1.5 s ago"),
    ({**RUNNING, "cancel": "x"}, {}, "Its cancellation is asked for"),
    (
        {"state": "succeeded", "attempt": 1, "worker": "w1", "run_ms": 1234.56},
        {},
        "It succeeded on attempt 1, on w1 in 1,234.6 ms.",
    ),
    ({"state": "succeeded", "attempt": 1, "worker": "w1"}, {}, "It succeeded on attempt 1, on w1."),
    (
        {"state": "failed", "attempt": 3, "error": ERROR},
        {},
        "It failed for good after 3 attempts: ValueError: no. It can be tried again",
    ),
    ({"state": "failed", "attempt": 1}, {}, "after 1 attempt: no error was kept."),
    ({"state": "failed", "error": '"words"'}, {}, "words."),
    ({"state": "cancelled", "error": '{"message":"by you"}'}, {}, "It was cancelled: by you."),
    ({"state": "cancelled"}, {}, "no reason was given."),
    ({"state": "deferred"}, {"parents": {"a": "succeeded"}}, "starts as soon as a worker looks."),
    (
        {"state": "deferred"},
        {"parents": {"a": "running", "b": None, "c": "succeeded"}},
        "It waits for task a (running), b (gone); 1 other succeeded.",
    ),
    (
        {"state": "deferred"},
        {"parents": dict.fromkeys("abcdef", "queued")},
        "task a (queued), b (queued), c (queued) and 3 more.",
    ),
    (
        {"state": "scheduled", "put_off": "RateLimit", "due_ms": NOW + 1500},
        {},
        "Its function is rate-limited: its turn comes in 1.5 s, at 22:13:21 UTC.",
    ),
    (
        {**RUNNING, "lost_worker": "w0", "lost_ms": NOW},
        {},
        "w0 missed its lease at 22:13:20 UTC, so the task was taken back: it may have run more",
    ),
    ({**QUEUED, "released": 1}, {}, "1 attempt not counted: handed back unstarted, or made before"),
    ({**QUEUED, "released": 2}, {}, "2 attempts not counted"),
]


@pytest.mark.parametrize(("fields", "facts", "sentence"), CASES, ids=[c[2][:50] for c in CASES])
def test_a_sentence_for_every_case(
    fields: dict[str, Any], facts: dict[str, Any], sentence: str
) -> None:
    assert sentence in told(fields, **facts)


def test_the_cases_above_cover_every_state() -> None:
    assert {fields["state"] for fields, _, _ in CASES} == set(TaskState)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (QUEUED, "paused"),
        (QUEUED, "No worker"),
        (QUEUED, "expires"),
        (QUEUED, "not counted"),
        (RUNNING, "cancellation"),
        (RUNNING, "lease"),
        (RUNNING, "taken back"),
    ],
)
def test_what_is_not_so_is_not_said(fields: dict[str, Any], words: str) -> None:
    assert words not in told(fields, place=0)
