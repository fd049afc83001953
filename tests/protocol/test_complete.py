"""complete: end attempts with their results."""

from __future__ import annotations

import pytest

from miniqueue.protocol.records import Note
from tests.protocol.bench import Bench, result, snapshot


def test_complete_keeps_the_result_for_keep_s(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    assert any_bench.run(any_bench.protocol.complete("w", [result("a")])) == [1]
    keep_ms = any_bench.settings.keep_s * 1000
    assert any_bench.changes() == {
        "running a": None,
        "finished a": any_bench.in_ms(keep_ms),
        "task a state": "succeeded",
        "task a result": "7",
        "task a started_ms": 1000,
        "task a run_ms": 2.5,
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": pytest.approx(keep_ms, abs=1500),
        "stats complete": 1,
        "events": [{"verb": "complete", "tasks": "a/1/1000/2.5", "worker": "w"}],
    }


def test_r3_a_stale_attempt_cannot_complete(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000, attempt=2)
    assert any_bench.run(any_bench.protocol.complete("w", [result("a", 1)])) == [0]
    assert any_bench.changes() == {}


@pytest.mark.parametrize("state", ["queued", "scheduled", "succeeded", "failed", "cancelled"])
def test_r3_a_task_that_does_not_run_cannot_be_completed(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000, attempt=1)
    assert any_bench.run(any_bench.protocol.complete("w", [result("a", 1)])) == [0]
    assert any_bench.changes() == {}


def test_the_result_of_a_forgotten_task_leaves_nothing(bench: Bench) -> None:
    assert bench.run(bench.protocol.complete("w", [result("nobody")])) == [0]
    assert bench.changes() == {}


def test_a_batch_keeps_what_is_owned_and_drops_the_rest(bench: Bench) -> None:
    bench.put_all(["a", "b"], "running", at_ms=5000)
    bench.put("stale", "running", at_ms=5000, attempt=2)
    ended = [result("stale"), result("a", text="1"), result("gone"), result("b", text="2")]
    assert bench.run(bench.protocol.complete("w", ended)) == [0, 1, 0, 1]
    changes = bench.changes()
    assert (changes["task a result"], changes["task b result"]) == ("1", "2")
    assert changes["stats complete"] == 2
    assert changes["events"] == [
        {"verb": "complete", "tasks": "a/1/1000/2.5 b/1/1000/2.5", "worker": "w"}
    ]
    assert not [path for path in changes if "stale" in path or "gone" in path]


def test_a_result_that_comes_twice_is_kept_once(bench: Bench) -> None:
    bench.put("a", "running", at_ms=5000)
    twice = [result("a", text="1"), result("a", text="2")]
    assert bench.run(bench.protocol.complete("w", twice)) == [1, 0]
    assert bench.changes()["task a result"] == "1"


def test_each_waiting_client_gets_a_token(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000, waiting=3)
    any_bench.run(any_bench.protocol.complete("w", [result("a")]))
    changes = any_bench.changes()
    assert changes["done a"] == ["succeeded"] * 3
    assert changes["ttl done a"] == pytest.approx(10_000, abs=1500)


def test_r7_tokens_are_capped(bench: Bench) -> None:
    bench.put("a", "running", at_ms=5000, waiting=100_000)
    bench.run(bench.protocol.complete("w", [result("a")]))
    assert len(bench.changes()["done a"]) == 100


def test_r7_all_that_is_kept_of_an_ended_task_has_a_ttl(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000, waiting=1)
    any_bench.client.run(any_bench.protocol.note(Note("a", 1, ["line"])))
    any_bench.run(any_bench.protocol.complete("w", [result("a")]))
    kept = snapshot(any_bench.client, any_bench.queue)
    assert {"ttl task a", "ttl done a", "ttl logs a"} <= kept.keys()
