"""report, emit, save: what a running attempt leaves, and a stale one does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miniqueue.protocol.calls import Call
from miniqueue.protocol.records import Note
from tests.protocol.bench import Bench, snapshot


def told(bench: Bench, kind: str) -> Call[bool]:
    """What attempt 1 of task a would say."""
    if kind == "log":
        return bench.protocol.note(Note("a", 1, ["1"]))
    p = bench.protocol
    return {"progress": p.progress, "emit": p.emit, "save": p.save}[kind]("a", 1, "1")


def test_progress_is_kept_with_the_task(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    assert any_bench.run(any_bench.protocol.progress("a", 1, '{"fraction":0.5}'))
    assert any_bench.changes() == {"task a progress": '{"fraction":0.5}'}


def test_a_log_line_goes_to_the_end_and_has_a_ttl(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=5000)
    for line in ("one", "two"):
        assert any_bench.run(any_bench.protocol.note(Note("a", 1, [line])))
    keep_ms = any_bench.settings.keep_failed_s * 1000
    assert any_bench.changes() == {"logs a": ["one", "two"]}
    kept = snapshot(any_bench.client, any_bench.queue)
    assert kept["ttl logs a"] == pytest.approx(keep_ms, abs=1500)


def test_r7_only_the_newest_log_lines_are_kept(bench: Bench) -> None:
    few = Bench(bench.client, replace(bench.settings, max_log_lines=3))
    few.put("a", "running", at_ms=5000)
    for i in range(5):
        few.run(few.protocol.note(Note("a", 1, [str(i)])))
    assert few.changes()["logs a"] == ["2", "3", "4"]


@pytest.mark.parametrize("kind", ["progress", "log", "emit", "save"])
def test_r3_a_stale_attempt_cannot_report(any_bench: Bench, kind: str) -> None:
    any_bench.put("a", "running", at_ms=5000, attempt=2)
    assert not any_bench.run(told(any_bench, kind))
    assert any_bench.changes() == {}


@pytest.mark.parametrize("kind", ["progress", "log", "emit", "save"])
def test_r3_a_task_that_does_not_run_has_nothing_to_report(any_bench: Bench, kind: str) -> None:
    any_bench.put("a", "queued", attempt=1)
    assert not any_bench.run(told(any_bench, kind))
    assert any_bench.changes() == {}
