"""forget: ids leave the finished and failed sets when their time is over."""

from __future__ import annotations

import pytest

from miniqueue.protocol.operations import AT_ONCE
from tests.protocol.bench import Bench


@pytest.mark.parametrize(("state", "place"), [("succeeded", "finished"), ("failed", "failed")])
def test_an_id_whose_time_is_over_is_dropped(any_bench: Bench, state: str, place: str) -> None:
    any_bench.put("a", state, at_ms=-1)
    any_bench.client.raw.delete(any_bench.keys.task("a"))  # Redis has forgotten the hash
    assert any_bench.run(any_bench.protocol.forget()) == 1
    assert any_bench.changes() == {f"{place} a": None}


def test_an_id_whose_time_is_not_over_stays(any_bench: Bench) -> None:
    any_bench.put_all(["a", "b"], "failed", at_ms=5000)
    assert any_bench.run(any_bench.protocol.forget()) == 0
    assert any_bench.changes() == {}


def test_r7_one_forget_drops_a_thousand_of_each_at_most(bench: Bench) -> None:
    most = 10 * AT_ONCE
    scores = {f"t{i}": 1 for i in range(most + 5)}
    bench.client.raw.zadd(bench.keys.finished, scores)
    assert bench.client.run(bench.protocol.forget()) == most
    assert bench.client.run(bench.protocol.forget()) == 5
    bench.sound()
