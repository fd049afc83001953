"""extend: renew leases; the only answer a worker gets while its task runs."""

from __future__ import annotations

import pytest

from tests.protocol.bench import Bench


def test_extend_starts_the_lease_anew(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=100)
    assert any_bench.run(any_bench.protocol.extend([("a", 1)])) == [1]
    assert any_bench.changes() == {"running a": any_bench.in_ms(5000)}


def test_extend_tells_of_a_wished_cancellation(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=100, cancel="please")
    assert any_bench.run(any_bench.protocol.extend([("a", 1)])) == [2]
    assert any_bench.changes() == {"running a": any_bench.in_ms(5000)}


def test_r3_a_stale_attempt_cannot_extend(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=100, attempt=2)
    assert any_bench.run(any_bench.protocol.extend([("a", 1)])) == [0]
    assert any_bench.changes() == {}


@pytest.mark.parametrize("state", ["queued", "scheduled", "succeeded", "failed", "cancelled"])
def test_r3_a_task_that_does_not_run_cannot_be_extended(any_bench: Bench, state: str) -> None:
    any_bench.put("a", state, at_ms=60_000, attempt=1)
    assert any_bench.run(any_bench.protocol.extend([("a", 1)])) == [0]
    assert any_bench.changes() == {}


def test_a_task_that_is_gone_cannot_be_extended(bench: Bench) -> None:
    assert bench.run(bench.protocol.extend([("nobody", 1)])) == [0]
    assert bench.changes() == {}


def test_the_fates_come_in_the_order_of_the_question(bench: Bench) -> None:
    bench.put("mine", "running", at_ms=100)
    bench.put("unwanted", "running", at_ms=100, cancel="please")
    bench.put("lost", "running", at_ms=100, attempt=2)
    held = [("lost", 1), ("mine", 1), ("gone", 1), ("unwanted", 1)]
    assert bench.run(bench.protocol.extend(held)) == [0, 1, 0, 2]
    lease = bench.in_ms(5000)
    assert bench.changes() == {"running mine": lease, "running unwanted": lease}
