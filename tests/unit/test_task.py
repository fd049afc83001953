"""task.py: states, the ways between them, JSON, ids, backoff."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniqueue.errors import PayloadError
from miniqueue.task import (
    PRIORITIES,
    TERMINAL,
    TRANSITIONS,
    Task,
    TaskState,
    backoff,
    decode,
    encode,
    legal,
    new_ids,
    queue_of,
)

S = TaskState
LIVES = [
    [S.QUEUED, S.RUNNING, S.SUCCEEDED],
    [S.SCHEDULED, S.QUEUED, S.RUNNING, S.SCHEDULED, S.QUEUED, S.RUNNING, S.FAILED],
    [S.QUEUED, S.RUNNING, S.QUEUED, S.RUNNING, S.CANCELLED],
    [S.QUEUED, S.RUNNING, S.FAILED, S.QUEUED, S.RUNNING, S.SUCCEEDED],
    [S.DEFERRED, S.QUEUED, S.CANCELLED],
]


@pytest.mark.parametrize("life", LIVES)
def test_lives_of_tasks_are_legal(life: list[TaskState]) -> None:
    assert legal(life)


@pytest.mark.parametrize(
    "step",
    [
        (S.QUEUED, S.SUCCEEDED),
        (S.SCHEDULED, S.RUNNING),
        (S.SUCCEEDED, S.QUEUED),
        (S.CANCELLED, S.QUEUED),
        (S.FAILED, S.RUNNING),
    ],
)
def test_shortcuts_are_not(step: tuple[TaskState, TaskState]) -> None:
    assert not legal(step)


def test_every_state_has_its_ways_and_only_failed_is_left_after_the_end() -> None:
    assert set(TRANSITIONS) == set(TaskState)
    assert {state for state in TERMINAL if TRANSITIONS[state]} == {S.FAILED}


def test_every_state_that_has_not_ended_may_be_cancelled() -> None:
    assert all(S.CANCELLED in TRANSITIONS[state] for state in set(TaskState) - TERMINAL)


def test_a_life_that_is_legal_is_legal_step_by_step() -> None:
    for a, b in itertools.product(TaskState, repeat=2):
        assert legal([a, b]) == (b in TRANSITIONS[a])


# -- backoff ---------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1e5), st.floats(0, 1e6))
def test_backoff_is_never_negative_and_never_over_its_cap(
    attempt: int, base_s: float, cap_s: float
) -> None:
    assert 0 <= backoff(attempt, base_s=base_s, cap_s=cap_s) <= cap_s


@given(st.integers(1, 60), st.floats(0.001, 1e4), st.floats(0.001, 1e6), st.floats(0, 1))
def test_backoff_is_full_jitter_on_a_doubling_ceiling(
    attempt: int, base_s: float, cap_s: float, part: float
) -> None:
    drawn = backoff(
        attempt, base_s=base_s, cap_s=cap_s, uniform=lambda low, high: low + part * (high - low)
    )
    assert drawn == pytest.approx(part * min(cap_s, base_s * 2 ** (attempt - 1)))


def test_backoff_spreads_tasks_that_failed_together() -> None:
    draws = [backoff(4, base_s=1, cap_s=300) for _ in range(400)]
    assert min(draws) < 1.0
    assert max(draws) > 7.0
    assert sum(draws) / len(draws) == pytest.approx(4.0, abs=0.7)


# -- JSON ------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: "inf" not in repr(value))


@given(JSON)
def test_what_is_encoded_is_decoded(value: object) -> None:
    try:
        text = encode(value, "it")
    except PayloadError:  # a lone surrogate cannot travel as UTF-8
        return
    assert decode(text) == value


class _Self(list[object]):
    """A list that holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.append(self)


@pytest.mark.parametrize("value", [object(), {1, 2}, math.nan, math.inf, b"x", "\ud800", _Self()])
def test_what_is_not_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(PayloadError, match=r"the cargo is not JSON"):
        encode(value, "the cargo")


def test_text_that_is_not_json_comes_back_as_it_is() -> None:
    assert decode("{broken") == "{broken"
    assert decode("[1] 2") == "[1] 2"
    assert decode(" [1]\n") == [1]
    assert decode(None, []) == []


# -- ids -------------------------------------------------------------------------------------------


def test_ids_are_64_random_bits() -> None:
    ids = new_ids("default", 1000)
    assert len(set(ids)) == 1000
    assert all(len(i) == 16 and int(i, 16) >= 0 for i in ids)


@pytest.mark.parametrize("name", ["default", "mail", "a-b_c", "x" * 64])
def test_an_id_carries_its_queue(name: str) -> None:
    assert {queue_of(i) for i in new_ids(name, 3)} == {name}


# -- the record ------------------------------------------------------------------------------------


def test_a_hash_becomes_a_task() -> None:
    fields = {
        "name": "add",
        "state": "running",
        "args": "[1,2]",
        "kwargs": '{"x":3}',
        "priority": "high",
        "attempt": "4",
        "released": "1",
        "max_attempts": "5",
        "timeout_s": "2.5",
        "enqueued_ms": "1000",
        "run_ms": "1.25",
        "cancel": "please",
        "progress": '{"fraction":0.5}',
        "error": '{"type":"E","message":"m"}',
    }
    task = Task.from_hash("mail.00", fields)
    assert (task.queue, task.state, task.args, task.kwargs) == ("mail", S.RUNNING, [1, 2], {"x": 3})
    assert (task.priority, task.attempt, task.tries, task.max_attempts) == ("high", 4, 3, 5)
    assert (task.timeout_s, task.enqueued_ms, task.run_ms) == (2.5, 1000, 1.25)
    assert task.cancel_requested
    assert task.progress == {"fraction": 0.5}
    assert task.error == {"type": "E", "message": "m"}


def test_an_empty_hash_becomes_the_defaults() -> None:
    task = Task.from_hash("00", {})
    assert (task.name, task.state, task.priority) == ("?", S.FAILED, "normal")
    assert (task.args, task.kwargs, task.attempt, task.max_attempts) == ([], {}, 0, 1)
    assert (task.result, task.error, task.cancel_requested) == (None, None, False)


FIELDS = [f for f in Task.__slots__ if f not in ("id", "queue", "cancel_requested")]


@given(st.dictionaries(st.sampled_from([*FIELDS, "cancel"]), st.text()))
def test_a_foreign_hand_cannot_make_a_task_unreadable(fields: dict[str, str]) -> None:
    task = Task.from_hash("00", fields)
    assert isinstance(task.args, list)
    assert isinstance(task.kwargs, dict)
    assert task.priority in PRIORITIES
    assert task.state in list(TaskState)
    task.as_dict()


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_a_number_that_is_none_becomes_the_default(text: str) -> None:
    assert Task.from_hash("00", {"attempt": text}).attempt == 0


def test_json_shows_what_is_known() -> None:
    shown = Task.from_hash("00", {"state": "queued", "name": "add"}).as_dict()
    assert shown["task_id"] == "00"
    assert shown["state"] == "queued"
    assert "result" not in shown
    assert "worker" not in shown
    assert "cancel_requested" not in shown


def test_json_of_a_success_shows_a_result_that_is_null() -> None:
    shown = Task.from_hash("00", {"state": "succeeded", "result": "null"}).as_dict()
    assert shown["result"] is None
