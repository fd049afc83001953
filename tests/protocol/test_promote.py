"""promote: scheduled tasks that are due become ready."""

from __future__ import annotations

from tests.protocol.bench import HOUR_MS, Bench


def test_a_due_task_goes_to_the_end_of_its_list(any_bench: Bench) -> None:
    any_bench.put("first")
    any_bench.put("a", "scheduled", at_ms=-1, attempt=1)
    assert any_bench.run(any_bench.protocol.promote()) == 1
    assert any_bench.changes() == {
        "scheduled a": None,
        "ready:normal": ["first", "a"],
        "task a state": "queued",
        "wake": 1,
        "stats promote": 1,
        "events": [{"verb": "promote", "tasks": "a/1"}],
    }


def test_a_task_that_is_not_due_stays(any_bench: Bench) -> None:
    any_bench.put("a", "scheduled", at_ms=5000)
    assert any_bench.run(any_bench.protocol.promote()) == 0
    assert any_bench.changes() == {}


def test_what_is_due_first_goes_first_each_to_its_own_list(bench: Bench) -> None:
    bench.put("b", "scheduled", at_ms=-100)
    bench.put("h", "scheduled", at_ms=-200, priority="high")
    bench.put("a", "scheduled", at_ms=-300)
    assert bench.run(bench.protocol.promote()) == 3
    changes = bench.changes()
    assert (changes["ready:high"], changes["ready:normal"]) == (["h"], ["a", "b"])
    assert changes["events"] == [{"verb": "promote", "tasks": "a/0 h/0 b/0"}]


def test_r7_one_promote_moves_a_hundred_at_most_and_hints_stay_capped(any_bench: Bench) -> None:
    any_bench.put_all((f"t{i}" for i in range(120)), "scheduled", at_ms=-1)
    assert any_bench.run(any_bench.protocol.promote()) == 100
    changes = any_bench.changes()
    assert (len(changes["ready:normal"]), changes["wake"]) == (100, 64)
    assert any_bench.run(any_bench.protocol.promote()) == 20
    assert len(any_bench.changes()["ready:normal"]) == 120


def test_an_id_whose_hash_is_gone_leaves_the_set(any_bench: Bench) -> None:
    any_bench.put("a", "scheduled", at_ms=-1)
    any_bench.client.raw.delete(any_bench.keys.task("a"))
    assert any_bench.run(any_bench.protocol.promote()) == 1
    assert any_bench.changes() == {"scheduled a": None}


def test_one_broken_hash_does_not_stop_the_others(bench: Bench) -> None:
    bench.put("a", "scheduled", at_ms=-HOUR_MS)
    bench.put("b", "scheduled", at_ms=-1)
    bench.client.raw.set(bench.keys.task("a"), "a foreign hand")
    bench.client.run(bench.protocol.promote())
    assert bench.fields("b")["state"] == "queued"
