"""What a worker counts of its runs, and what of it is news."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from miniqueue.metrics import MOST_NAMES, OTHERS, UNKNOWN, Metrics
from miniqueue.outcome import Run
from miniqueue.protocol.records import Claimed, Completion, Failure
from miniqueue.registry import Registry, TaskFunction, task

STARTED_MS = 1_700_000_000_000


@task(registry=Registry())
def known() -> None: ...


def a_run(
    name: str = "add", wait_ms: int = 30, function: TaskFunction[..., Any] | None = known
) -> Run:
    claimed = Claimed("t", 1, name, "[]", None, 3, 0, None, since_ms=STARTED_MS - wait_ms)
    return Run(claimed, function, time.monotonic(), STARTED_MS, time.monotonic() + 9)


def succeeded(run_ms: float) -> Completion:
    return Completion("t", 1, "null", STARTED_MS, run_ms)


def ended(state: str) -> Failure:
    return Failure("t", 1, state, "{}", "", 0, STARTED_MS, 3.0)


def news(metrics: Metrics) -> dict[str, int]:
    return {f"{kind} {name}": number for kind, name, number in metrics.news()}


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(0, "1"), (1, "1"), (1.001, "5"), (5, "5"), (99, "100"), (1_800_000, "1800000"),
     (9e9, "inf")],
)  # fmt: skip
def test_a_bucket_takes_what_is_at_most_its_bound(ms: float, bucket: str) -> None:
    metrics = Metrics()
    metrics.after(a_run(wait_ms=0), succeeded(ms))
    assert f"run:{bucket} add" in news(metrics)
    metrics = Metrics()
    metrics.after(a_run(wait_ms=int(ms)), succeeded(0))
    assert f"wait:{bucket if ms != 1.001 else '1'} add" in news(metrics)


def test_ends_waits_and_runs_are_counted_by_function() -> None:
    metrics = Metrics()
    metrics.after(a_run(), succeeded(2.5))
    metrics.after(a_run(), succeeded(0.25))
    for end in (ended("failed"), ended("scheduled"), ended("cancelled"), None):
        metrics.after(a_run("sub"), end)
    found = news(metrics)
    assert {k: n for k, n in found.items() if k.endswith(" add")} == {
        "succeeded add": 2, "run_us add": 2750, "wait_ms add": 60,
        "run:1 add": 1, "run:5 add": 1, "wait:50 add": 2,
    }  # fmt: skip
    ends = {k: found.get(f"{k} sub") for k in ("succeeded", "failed", "cancelled", "retried")}
    assert ends == {"succeeded": None, "failed": 1, "cancelled": 1, "retried": 1}
    assert found["lost sub"] == 1
    assert json.loads(metrics.text())["add"] == {"succeeded": 2, "seconds": 0.00275}


def test_a_wait_is_never_less_than_nothing() -> None:
    metrics = Metrics()
    metrics.after(a_run(wait_ms=-7), succeeded(1))
    assert news(metrics)["wait:1 add"] == 1
    assert "wait_ms add" not in news(metrics)


def test_news_are_told_once_and_again_where_they_did_not_arrive() -> None:
    metrics = Metrics()
    metrics.redis_errors += 1
    metrics.after(a_run(), succeeded(1))
    first = news(metrics)
    metrics.after(a_run(), succeeded(1))
    assert news(metrics)["run:1 add"] == 2 * first["run:1 add"]  # the first did not arrive
    assert news(metrics)["redis_errors worker"] == 1
    metrics.told()
    assert news(metrics) == {}
    metrics.after(a_run(), succeeded(1))
    assert news(metrics)["run:1 add"] == 1


def test_what_came_between_news_and_told_is_not_lost() -> None:
    metrics = Metrics()
    metrics.after(a_run(), succeeded(1))
    metrics.news()
    metrics.after(a_run(), succeeded(1))
    metrics.told()
    assert news(metrics)["run:1 add"] == 1


def test_a_lost_lease_that_is_heard_of_twice_counts_once() -> None:
    metrics = Metrics()
    for attempt in (1, 1, 2):
        metrics.lost("t", attempt)
    assert news(metrics) == {"lease_losses worker": 2}


def test_names_are_bounded() -> None:
    metrics = Metrics()
    for i in range(MOST_NAMES + 50):
        metrics.after(a_run(f"f{i}"), succeeded(1))
    metrics.after(a_run("stranger", function=None), ended("failed"))
    metrics.after(a_run("x" * 5000), succeeded(1))
    found = news(metrics)
    assert found[f"succeeded {OTHERS}"] == 52 - 1
    names = {key.split(" ")[1] for key in found}
    assert len(names) == MOST_NAMES + 1
    metrics = Metrics()
    metrics.after(a_run("stranger \ud800", function=None), ended("failed"))
    metrics.after(a_run("x\ud800" * 5000), succeeded(1))
    names = {key.split(" ")[1] for key in news(metrics)}
    assert names == {UNKNOWN, "x?" * 50}
