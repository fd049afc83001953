"""report: a running attempt leaves its progress or a log line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.bench import Bench, snapshot


def test_progress_is_kept_with_the_task(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    assert any_bench.run(any_bench.protocol.report("a", 1, "progress", '{"fraction":0.5}'))
    assert any_bench.changes() == {"task a progress": '{"fraction":0.5}'}


def test_a_log_line_goes_to_the_end_and_has_a_ttl(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    for line in ("one", "two"):
        assert any_bench.run(any_bench.protocol.report("a", 1, "log", line))
    keep_ms = any_bench.settings.keep_failed_s * 1000
    assert any_bench.changes() == {"logs a": ["one", "two"]}
    kept = snapshot(any_bench.client, any_bench.queue)
    assert kept["ttl logs a"] == pytest.approx(keep_ms, abs=1500)


def test_r7_only_the_newest_log_lines_are_kept(bench: Bench) -> None:
    few = Bench(bench.client, replace(bench.settings, max_log_lines=3))
    few.put("a", "running", at_ms=5000)
    for i in range(5):
        few.run(few.protocol.report("a", 1, "log", str(i)))
    assert few.changes()["logs a"] == ["2", "3", "4"]


@pytest.mark.parametrize("kind", ["progress", "log"])
def test_r3_a_stale_attempt_cannot_report(any_bench: Bench, kind: str) -> None:
    any_bench.put("a", "running", at_ms=5000, attempt=2)
    assert not any_bench.run(any_bench.protocol.report("a", 1, kind, "1"))
    assert any_bench.changes() == {}


@pytest.mark.parametrize("kind", ["progress", "log"])
def test_r3_a_task_that_does_not_run_has_nothing_to_report(any_bench: Bench, kind: str) -> None:
    any_bench.put("a", "queued", attempt=1)
    assert not any_bench.run(any_bench.protocol.report("a", 1, kind, "1"))
    assert any_bench.changes() == {}
