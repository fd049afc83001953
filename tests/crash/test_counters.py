"""Counters never go backwards: workers are killed, others come, and each beat adds to the sums."""

from __future__ import annotations

import itertools

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from miniqueue.api import create_app
from miniqueue.functions import echo
from miniqueue.settings import Settings
from tests.crash.conftest import Crew
from tests.crash.jobs import quick
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40)]
ROUNDS = 3
TASKS = 30


def counters(http: TestClient) -> dict[str, float]:
    """Every sample that must not fall."""
    return {
        f"{sample.name} {sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if family.type in ("counter", "histogram")
    }


def total(found: dict[str, float], name: str) -> float:
    return sum(n for at, n in found.items() if at.startswith(f"miniqueue_{name} "))


def test_counters_do_not_go_backwards_when_workers_are_killed(
    crew: Crew, settings: Settings
) -> None:
    looks: list[dict[str, float]] = []
    with TestClient(create_app(settings)) as http:

        def told(ended: int) -> bool:
            looks.append(counters(http))
            return total(looks[-1], "tasks_ended_total") >= ended

        for n in range(1, ROUNDS + 1):
            crew.hire(f"w{n}")
            for i in range(TASKS):
                crew.queue.enqueue(echo, i)
            wait_for(lambda n=n: told(n * TASKS))  # type: ignore[misc]
            held = crew.slow(60)  # what it holds now is taken back
            crew.at_work(held).kill()
            crew.diary.unlink()
            crew.queue.cancel(held.id)
        crew.hire("last")
        wait_for(lambda: told(0) and total(looks[-1], "reclaims_total") == ROUNDS)
        crew.queue.enqueue(quick, 1)
        wait_for(lambda: told(ROUNDS * TASKS + 1))
    for before, after in itertools.pairwise(looks):
        assert [at for at, n in before.items() if after.get(at, -1) < n] == []
    assert total(looks[-1], "task_run_seconds_count") == ROUNDS * TASKS + 1
    assert total(looks[-1], "task_wait_seconds_count") == ROUNDS * TASKS + 1


def test_what_was_counted_while_redis_did_not_answer_is_told_later(
    crew: Crew, settings: Settings
) -> None:
    """The worker's beats are refused (a key of a wrong type), and what it found counts."""
    crew.hire("w1")
    raw, key = crew.queue.client.raw, crew.queue.protocol.keys.running
    raw.delete(key)
    raw.set(key, "a foreign hand")
    wait_for(lambda: "WRONGTYPE" in crew.log(crew.workers["w1"]))
    raw.delete(key)
    with TestClient(create_app(settings)) as http:
        wait_for(lambda: total(counters(http), "redis_errors_total") >= 1)
