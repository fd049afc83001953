"""Inspector.check(): it finds every kind of planted inconsistency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from miniqueue import checkup
from miniqueue.inspector import Inspector
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.protocol.bench import Bench

HOUR_MS = 3_600_000


@pytest.fixture
def bench(client: Client, settings: Settings) -> Bench:
    return Bench(client, settings)


def in_two_lists(bench: Bench) -> None:
    bench.put("a")
    bench.client.raw.rpush(bench.keys.ready[0], "a")


def twice_in_one_list(bench: Bench) -> None:
    bench.put("a")
    bench.client.raw.rpush(bench.keys.ready[1], "a")


def queued_and_running(bench: Bench) -> None:
    bench.put("a")
    bench.client.raw.zadd(bench.keys.running, {"a": 1})


def in_the_list_of_another_priority(bench: Bench) -> None:
    bench.put("a", priority="low")
    bench.client.raw.hset(bench.keys.task("a"), "priority", "high")


def state_of_another_structure(bench: Bench) -> None:
    bench.put("a", "running", at_ms=HOUR_MS)
    bench.client.raw.hset(bench.keys.task("a"), "state", "queued")


def running_among_the_finished(bench: Bench) -> None:
    bench.put("a", "succeeded", at_ms=HOUR_MS)
    bench.client.raw.hset(bench.keys.task("a"), "state", "running")


def id_without_a_hash(bench: Bench) -> None:
    bench.put("a")
    bench.client.raw.delete(bench.keys.task("a"))


def forgotten_too_early(bench: Bench) -> None:
    bench.put("a", "succeeded", at_ms=HOUR_MS)
    bench.client.raw.delete(bench.keys.task("a"))


def hash_in_no_structure(bench: Bench) -> None:
    bench.put("a")
    bench.client.raw.lrem(bench.keys.ready[1], 0, "a")


def running_without_a_lease(bench: Bench) -> None:
    bench.put("a", "running", at_ms=HOUR_MS)
    bench.client.raw.zrem(bench.keys.running, "a")


PLANTED: list[tuple[Callable[[Bench], None], str]] = [
    (in_two_lists, "a is in ready:high and in ready:normal"),
    (twice_in_one_list, "a is in ready:normal and in ready:normal"),
    (queued_and_running, "a is in ready:normal and in running"),
    (in_the_list_of_another_priority, "a is queued and is in ready:low"),
    (state_of_another_structure, "a is queued and is in running"),
    (running_among_the_finished, "a is running and is in finished"),
    (id_without_a_hash, "a is in ready:normal and has no hash"),
    (forgotten_too_early, "a is in finished and has no hash"),
    (hash_in_no_structure, "a has a hash and is in no structure"),
    (running_without_a_lease, "a has a hash and is in no structure"),
]


@pytest.mark.parametrize(("plant", "sentence"), PLANTED, ids=[p.__name__ for p, _ in PLANTED])
def test_a_planted_inconsistency_is_found(
    bench: Bench, plant: Callable[[Bench], None], sentence: str
) -> None:
    inspector = Inspector(bench.queue)
    assert inspector.check() == []
    plant(bench)
    assert sentence in inspector.check()


def test_a_whole_queue_is_sound(bench: Bench) -> None:
    for state in ("queued", "scheduled", "running", "succeeded", "failed", "cancelled"):
        bench.put_all((f"{state}{i}" for i in range(150)), state, at_ms=HOUR_MS)
    assert Inspector(bench.queue).check() == []


def test_of_a_long_structure_the_first_ids_are_looked_at_and_the_rest_is_not_accused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "CHECKED", 3)
    for state in ("queued", "running", "succeeded"):
        bench.put_all((f"{state}{i}" for i in range(5)), state, at_ms=HOUR_MS)
    assert Inspector(bench.queue).check() == []
    bench.put("b", "scheduled", at_ms=HOUR_MS)
    bench.client.raw.zrem(bench.keys.scheduled, "b")
    assert Inspector(bench.queue).check() == ["b has a hash and is in no structure"]


def test_an_ended_task_that_redis_has_forgotten_is_no_problem(bench: Bench) -> None:
    bench.put("a", "failed", at_ms=-1)
    bench.client.raw.delete(bench.keys.task("a"))
    assert Inspector(bench.queue).check() == []


def test_another_queue_is_checked_by_name(bench: Bench) -> None:
    other = Bench(bench.client, replace(bench.settings, queue="other"))
    id_without_a_hash(other)
    assert Inspector(bench.queue).check() == []
    assert len(Inspector(bench.queue).check("other")) == 1
