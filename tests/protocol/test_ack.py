"""ack: a task that must not start twice is acknowledged before it runs."""

from __future__ import annotations

import json

from tests.protocol.bench import HOUR_MS, Bench


def test_an_acknowledgement_notes_the_attempt_and_nothing_else(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=HOUR_MS, attempt=2)
    assert any_bench.run(any_bench.protocol.ack("a", 2)) is True
    assert any_bench.changes() == {"task a acked": "2"}


def test_r3_a_stale_attempt_cannot_acknowledge(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=HOUR_MS, attempt=2)
    any_bench.put("b")
    for task_id, attempt in (("a", 1), ("b", 0), ("nobody", 1)):
        assert any_bench.run(any_bench.protocol.ack(task_id, attempt)) is False
        assert any_bench.changes() == {}


def test_reclaim_ends_what_was_acknowledged_and_queues_what_was_not(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, attempt=1)
    any_bench.put("b", "running", at_ms=-1, attempt=1)
    any_bench.client.run(any_bench.protocol.ack("a", 1))
    assert any_bench.run(any_bench.protocol.reclaim()) == 2
    assert any_bench.changes()["ready:normal"] == ["b"]
    ended = any_bench.fields("a")
    assert ended["state"] == "failed"
    assert "acknowledged before it ran" in json.loads(ended["error"])["message"]


def test_only_the_acknowledgement_of_the_last_attempt_counts(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=-1, attempt=2, acked=1)
    any_bench.run(any_bench.protocol.reclaim())
    assert any_bench.changes()["ready:normal"] == ["a"]
