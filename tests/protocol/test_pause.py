"""pause and resume: claims stop, what runs goes on."""

from __future__ import annotations

from tests.protocol.bench import Bench, result


def test_pause_is_told_once(any_bench: Bench) -> None:
    assert any_bench.run(any_bench.protocol.pause()) is True
    assert any_bench.changes() == {"paused": True, "events": [{"verb": "pause"}]}
    assert any_bench.run(any_bench.protocol.pause()) is False
    assert any_bench.changes() == {}


def test_resume_wakes_idle_workers_and_is_told_once(any_bench: Bench) -> None:
    any_bench.client.run(any_bench.protocol.pause())
    assert any_bench.run(any_bench.protocol.resume()) is True
    assert any_bench.changes() == {"paused": False, "wake": 8, "events": [{"verb": "resume"}]}
    assert any_bench.run(any_bench.protocol.resume()) is False
    assert any_bench.changes() == {}


def test_what_runs_while_the_queue_is_paused_may_complete(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    any_bench.client.run(any_bench.protocol.pause())
    assert any_bench.run(any_bench.protocol.complete("w", [result("a")])) == [1]
    assert any_bench.changes()["task a state"] == "succeeded"


def test_r6_hints_stay_capped(bench: Bench) -> None:
    bench.client.raw.rpush(bench.keys.wake, *[1] * 60)
    bench.client.run(bench.protocol.pause())
    bench.run(bench.protocol.resume())
    assert bench.changes()["wake"] == 64
