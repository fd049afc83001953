"""`miniqueue up --autoscale`: tables of numbers, a simulated queue, and real processes."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniqueue.classroom.autoscale import (
    TOLD_S,
    Aims,
    Autoscaler,
    Bounds,
    Gauge,
    Load,
    Reading,
    needed,
    read,
)
from miniqueue.classroom.service import free_port
from miniqueue.classroom.stack import Stack
from miniqueue.classroom.up import Scaler
from miniqueue.cli import main
from miniqueue.settings import Settings
from miniqueue.views import QueueInfo, WorkerInfo
from tests.processes import wait_for

QUEUE = QueueInfo("default", False, {"high": 0, "normal": 0, "low": 0}, 0, 0, 0, 0, 0, 0.0, {})
WORKER = WorkerInfo("w0", "default", "here", 1, 1, [], 0, 0.1, {})

loads = st.builds(
    Load,
    st.floats(0, 1e4),
    st.floats(0, 1e3),
    st.integers(0, 100_000),
    st.floats(0, 256),
)
bounds = st.tuples(st.integers(1, 256), st.integers(1, 256)).map(lambda b: Bounds(*sorted(b)))


# -- how many are needed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "concurrency", "workers"),
    [
        (Load(), 1, 1),
        (Load(arrivals_per_s=8, service_s=0.1), 1, 1),  # 0.8 at once, all of the share of one
        (Load(arrivals_per_s=9, service_s=0.1), 1, 2),
        (Load(arrivals_per_s=32, service_s=0.1), 1, 4),
        (Load(arrivals_per_s=32, service_s=0.1), 4, 1),
        (Load(arrivals_per_s=33, service_s=0.1), 4, 2),
        (Load(arrivals_per_s=1000, service_s=1), 1, 8),  # not more than the most
        (Load(service_s=1, waiting=30), 1, 3),  # 30 s of work in 10 s
        (Load(arrivals_per_s=1.6, service_s=1, waiting=30), 1, 5),  # ... beside what arrives
        (Load(service_s=3600, waiting=2), 1, 2),  # not more than there are tasks
        (Load(busy=5), 1, 5),  # long tasks run, and nothing arrives
    ],
)
def test_workers_for_a_load(load: Load, concurrency: int, workers: int) -> None:
    assert needed(load, concurrency, Bounds(1, 8)) == workers


@given(loads, st.integers(1, 64), bounds)
def test_it_stays_within_the_bounds(load: Load, concurrency: int, within: Bounds) -> None:
    assert within.low <= needed(load, concurrency, within) <= within.high


@given(loads, loads, st.integers(1, 64), bounds)
def test_more_load_never_needs_fewer_workers(
    one: Load, other: Load, concurrency: int, within: Bounds
) -> None:
    more = Load(
        max(one.arrivals_per_s, other.arrivals_per_s),
        max(one.service_s, other.service_s),
        max(one.waiting, other.waiting),
        max(one.busy, other.busy),
    )
    assert needed(more, concurrency, within) >= needed(one, concurrency, within)


# -- from what is seen to rates --------------------------------------------------------------------


def test_a_reading_counts_what_was_started_and_not_handed_back() -> None:
    stats = {"enqueue": 99, "claim": 10, "release": 3, "postpone": 2}
    queue = replace(QUEUE, ready={"high": 1, "normal": 2, "low": 4}, stats=stats)
    runs: dict[str, dict[str, float]] = {
        "add": {"succeeded": 2.0, "retried": 1.0, "seconds": 0.5},
        "echo": {"failed": 1, "seconds": 1},
    }
    workers = [
        replace(WORKER, doing=["a", "b"], runs=runs),
        replace(WORKER, id="late", doing=["c"], beat_age_s=30.0),
        replace(WORKER, id="other", queue="other", doing=["d"], runs=runs),
    ]
    seen = read(7.0, queue, workers)
    assert seen == Reading(7.0, 7, 5, 2, {"w0": (4.0, 1.5), "late": (0, 0)})


def test_a_paused_queue_asks_for_nobody() -> None:
    queue = replace(QUEUE, paused=True, ready={"high": 0, "normal": 500, "low": 0})
    assert read(0.0, queue, []).waiting == 0


def test_arrivals_are_what_was_started_and_what_waits_more() -> None:
    gauge = Gauge(10.0)
    assert gauge.add(Reading(0.0, 5, 100)) == Load(waiting=5)
    assert gauge.add(Reading(2.0, 9, 106)).arrivals_per_s == 5.0  # (6 + 4) / 2 s


def test_rates_forget_what_is_older_than_the_window() -> None:
    gauge = Gauge(10.0)
    gauge.add(Reading(0.0, 0, 0))
    gauge.add(Reading(1.0, 0, 1000))
    for second in range(2, 13):
        load = gauge.add(Reading(float(second), 0, 1000))
    assert load.arrivals_per_s == 0.0


def test_service_time_is_that_of_the_runs_that_ended_meanwhile() -> None:
    gauge = Gauge(10.0)
    gauge.add(Reading(0.0, runs={"a": (1000, 9000.0), "b": (1, 1.0)}))
    load = gauge.add(Reading(1.0, runs={"a": (1002, 9000.4), "c": (2, 0.4)}))  # b left, c came
    assert load.service_s == pytest.approx(0.2)
    load = gauge.add(Reading(2.0, runs={"a": (2, 0.4), "c": (2, 0.4)}))  # another a
    assert load.service_s == pytest.approx(0.2)
    load = gauge.add(Reading(3.0, runs={"a": (6, 2.0), "c": (2, 0.4)}))
    assert load.service_s == pytest.approx((0.8 + 1.6) / (4 + 4))


def test_a_task_that_does_not_end_is_as_long_as_it_has_run() -> None:
    gauge = Gauge(10.0)
    for second in range(5):
        load = gauge.add(Reading(50.0 + second, waiting=3, started=1, busy=1))
    assert load.service_s == 4.0 - TOLD_S
    assert gauge.add(Reading(55.0, waiting=3, started=1, busy=0)).service_s == 0.0


def test_a_run_that_is_not_told_yet_is_not_long() -> None:
    gauge = Gauge(10.0)
    gauge.add(Reading(0.0, busy=0))
    assert gauge.add(Reading(1.0, waiting=100, started=1, busy=1)).service_s == 0.0


def test_counters_that_begin_anew_are_no_arrivals() -> None:
    gauge = Gauge(10.0)
    gauge.add(Reading(0.0, 0, 1000))
    assert gauge.add(Reading(1.0, 0, 3)).arrivals_per_s == 0.0
    assert gauge.add(Reading(2.0, 0, 8)).arrivals_per_s == 5.0


# -- hysteresis ------------------------------------------------------------------------------------


def decisions(busy: list[int]) -> list[int]:
    """The workers after each second, with so many lanes busy; a mean is of two seconds."""
    scaler, workers, seen = Autoscaler(Bounds(1, 8), 1, AIMS), 1, []
    for second, count in enumerate(busy):
        workers = scaler.decide(Reading(float(second), busy=count), workers)
        seen.append(workers)
    return seen


AIMS = Aims(window_s=1.0, calm_s=3.0)


def test_it_grows_at_once_and_shrinks_one_at_a_time_after_a_calm() -> None:
    seen = decisions([0, 0, 8, *[0] * 13])
    assert seen == [1, 1, 4, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 1]


def test_a_calm_that_is_broken_begins_anew() -> None:
    assert set(decisions([0, 0, *[8, 0, 0, 0] * 9])[2:]) == {4}


def test_it_does_not_flap_between_two_numbers() -> None:
    assert set(decisions([3, 3, 5, 5] * 9)[3:]) == {5}


def test_it_asks_again_where_no_worker_could_go() -> None:
    scaler = Autoscaler(Bounds(1, 8), 1, AIMS)
    asked = [scaler.decide(Reading(float(second)), 4) for second in range(6)]
    assert asked == [4, 4, 4, 3, 3, 3]


@pytest.mark.parametrize(("per_s", "service_s", "at_rest"), [(5, 0.1, 1), (30, 0.1, 4), (3, 1, 4)])
def test_it_settles_where_a_simulated_queue_keeps_up(
    per_s: int, service_s: float, at_rest: int
) -> None:
    """Arrivals in equal steps; each worker ends 1 / service_s tasks a second."""
    scaler, workers, waiting, done = Autoscaler(Bounds(1, 8), 1), 1, 0.0, 0.0
    seen = []
    for second in range(300):
        served = min(waiting + per_s, workers / service_s)
        waiting, done = waiting + per_s - served, done + served
        busy = round(served * service_s)
        runs = {"w": (done, done * service_s)}
        workers = scaler.decide(
            Reading(float(second), int(waiting), int(done), busy, runs), workers
        )
        seen.append(workers)
    assert waiting == 0
    assert set(seen[200:]) == {at_rest}
    assert sum(a != b for a, b in itertools.pairwise(seen)) < 12


# -- usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["8:1", "a:b", "0:0", "0:4", "1:257", "3", "", "1:2:3", "-1:2", "1: 2"]
)
def test_a_bad_text_is_told_in_one_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", f"--autoscale={text}"]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"miniqueue: --autoscale {text!r}: say LOW:HIGH, like 1:8, with 1 <= LOW <= HIGH <= 256\n"
    )


def test_workers_and_autoscale_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--workers", "2", "--autoscale", "1:8"]) == 2
    err = capsys.readouterr().err
    assert "say one of them" in err
    assert err.count("\n") == 1


# -- real processes --------------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(1, settings=Settings(redis_url="", grace_s=5.0)) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_burst_makes_it_grow_and_idleness_makes_it_shrink(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    aims = Aims(window_s=1.0, drain_s=2.0, calm_s=0.3)
    scaler = Scaler(stack, Bounds(1, 3), aims)

    def looked() -> int:
        scaler.look()
        return len(stack.workers)

    assert looked() == 1
    handles = stack.queue.enqueue_many("sleep", [(0.2,)] * 60)
    assert wait_for(lambda: looked() == 3, 20)
    assert wait_for(lambda: stack.inspector.queue_info("default").finished == 60, 20)
    assert wait_for(lambda: looked() == 1, 20)
    said = re.findall(r"workers  (\d) -> (\d): .* tasks/s x .* waiting", capsys.readouterr().out)
    assert said[0][0] == "1"
    assert max(said)[0] == "3"
    assert said[-2:] == [("3", "2"), ("2", "1")]  # one at a time
    assert [stack.queue.get(handle.id).attempt for handle in handles] == [1] * 60  # gracefully


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_it_stops_no_worker_that_is_in_a_task(stack: Stack) -> None:
    stack.scale(2)
    handle = stack.queue.enqueue("sleep", 2)
    wait_for(lambda: [w for w in stack.inspector.workers() if w.doing], 10)
    (busy,) = [w.id for w in stack.inspector.workers() if w.doing]
    stack.workers.sort(key=lambda service: service.name == busy)  # scale() stops the last ones
    scaler = Scaler(stack, Bounds(1, 2), Aims(window_s=1.0, calm_s=0.1))

    def looked() -> int:
        scaler.look()
        return len(stack.workers)

    wait_for(lambda: looked() == 1, 10)
    assert [worker.name for worker in stack.workers] == [busy]
    assert handle.wait(10) is not None
    assert stack.queue.get(handle.id).attempt == 1


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_redis_that_is_away_changes_nothing(stack: Stack) -> None:
    scaler = Scaler(stack, Bounds(1, 3), Aims())
    scaler.look()
    stack.kill_redis()
    scaler.look()
    assert len(stack.workers) == 1
    stack.start_redis()
    scaler.look()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_up_says_in_numbers_why_it_grows(tmp_path: Path) -> None:
    words = ["up", "--autoscale", "1:2", "--port", str(free_port())]
    process = subprocess.Popen(
        [sys.executable, "-m", "miniqueue", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ),
    )  # fmt: skip
    lines: list[str] = []
    assert process.stdout is not None

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout as out:
            lines.extend(out)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        (url,) = wait_for(lambda: re.findall(r"Redis +(redis:\S+)", "".join(lines)), 30)
        wait_for(lambda: any(line.startswith("API") for line in lines), 30)
        environ = {**os.environ, "MINIQUEUE_REDIS_URL": url}
        body = "".join('{"name": "sleep", "args": [0.3]}\n' for _ in range(40))
        subprocess.run(
            [sys.executable, "-m", "miniqueue", "bulk", "-"],
            input=body, text=True, env=environ, check=True, capture_output=True,
        )  # fmt: skip
        said = r"^workers  1 -> 2: [\d.]+ tasks/s x [\d.]+ s = [\d.]+ at once, \d+ waiting$"
        wait_for(lambda: re.search(said, "".join(lines), re.MULTILINE), 30)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        listener.join(10)
    assert "workers  1 to 2, queue 'default'" in "".join(lines)
