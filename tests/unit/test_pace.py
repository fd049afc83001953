"""pace.py: how much work a worker may hold (R9)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from miniqueue.pace import Pace
from miniqueue.protocol.records import Claimed


def claimed(*names: str) -> list[Claimed]:
    return [Claimed(str(i), 1, name, "[]", None, 3, 0, None) for i, name in enumerate(names)]


def pace_that_knows(times: dict[str, float], runs: int = 60) -> Pace:
    pace = Pace(prefetch_s=0.02, batch=64)
    for name, seconds in times.items():
        for _ in range(runs):
            pace.ran(name, seconds)
    return pace


def test_r9_a_worker_that_knows_nothing_claims_one() -> None:
    assert Pace(0.02, 64).limit() == 1


def test_r9_fast_tasks_make_the_claims_grow() -> None:
    pace, limits = Pace(0.02, 64), []
    for _ in range(30):
        pace.ran("add", 0.0005)
        limits.append(pace.limit())
    assert limits == sorted(limits)
    assert 30 <= limits[-1] <= 40


def test_r9_slow_tasks_make_the_claims_shrink_at_once() -> None:
    pace = pace_that_knows({"add": 0.0001})
    assert pace.limit() == 64
    pace.ran("sleep", 1.0)
    assert pace.limit() == 1


def test_r9_what_is_held_counts_when_more_is_asked_for_ahead() -> None:
    pace = pace_that_knows({"add": 0.0005})
    most = pace.limit()
    assert pace.limit(held=10) == most - 10
    assert pace.limit(held=most) == 0
    assert pace.limit(held=1000) == 0


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 1000), st.floats(0, 10))
def test_a_limit_lies_between_one_and_the_batch(
    times: list[float], batch: int, prefetch_s: float
) -> None:
    pace = Pace(prefetch_s, batch)
    for seconds in times:
        pace.ran("f", seconds)
    assert 1 <= pace.limit() <= batch


def test_r9_what_cannot_start_in_time_is_handed_back() -> None:
    pace = pace_that_knows({"fast": 0.001, "slow": 0.5})
    tasks = claimed("fast", "slow", "fast", "fast")
    keep, back = pace.split(tasks)
    assert (keep, back) == (tasks[:2], tasks[2:])


def test_r9_nothing_waits_behind_a_stranger() -> None:
    tasks = claimed("stranger", "stranger")
    assert Pace(0.02, 64).split(tasks) == (tasks[:1], tasks[1:])


def test_fast_tasks_are_all_kept() -> None:
    tasks = claimed(*["fast"] * 15)
    assert pace_that_knows({"fast": 0.001}).split(tasks) == (tasks, [])


@given(st.lists(st.sampled_from(["fast", "slow", "stranger"])))
def test_a_split_loses_nothing_keeps_the_order_and_keeps_the_first(names: list[str]) -> None:
    tasks = claimed(*names)
    keep, back = pace_that_knows({"fast": 0.001, "slow": 0.5}, runs=1).split(tasks)
    assert keep + back == tasks
    assert bool(keep) == bool(tasks)
