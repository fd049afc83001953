"""count: what workers have counted is added up, within a cap, whatever is in its key."""

from __future__ import annotations

import pytest

from miniqueue.protocol import operations
from tests.protocol.bench import Bench


def test_numbers_add_up(any_bench: Bench) -> None:
    any_bench.client.run(any_bench.protocol.count([("run:5", "add", 2), ("run:5", "a b", 1)]))
    news = [("run:5", "add", 3), ("run_us", "add", 900)]
    assert any_bench.run(any_bench.protocol.count(news)) == 2
    assert any_bench.changes() == {"counts run:5 add": "5", "counts run_us add": "900"}


def test_beyond_the_cap_new_names_are_counted_together(
    any_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "MOST_COUNTS", 2)
    any_bench.client.run(any_bench.protocol.count([("run:5", "add", 1), ("run:5", "sub", 1)]))
    news = [("run:5", "mul", 3), ("run:5", "div", 4), ("run:5", "add", 1)]
    assert any_bench.run(any_bench.protocol.count(news)) == 3
    assert any_bench.changes() == {"counts run:5 (others)": "7", "counts run:5 add": "2"}


@pytest.mark.parametrize("broken", ["many", "9223372036854775807", ""])
def test_a_number_that_a_foreign_hand_broke_is_left_alone(any_bench: Bench, broken: str) -> None:
    any_bench.client.raw.hset(any_bench.keys.counts, "run:5 add", broken)
    news = [("run:5", "add", 2), ("run:5", "sub", 1)]
    assert any_bench.run(any_bench.protocol.count(news)) == 1
    assert any_bench.changes() == {"counts run:5 sub": "1"}


def test_a_key_of_another_type_is_left_alone(any_bench: Bench) -> None:
    any_bench.client.raw.set(any_bench.keys.counts, "x")
    assert any_bench.run(any_bench.protocol.count([("run:5", "add", 2)])) == 0
    assert any_bench.changes() == {}
