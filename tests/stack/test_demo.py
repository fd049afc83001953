"""The main job, made small: it checks what it counts, draws, stops all, and says what is off."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from miniqueue.classroom import demo as demo_module
from miniqueue.classroom.measure import computing, library_files, sleeping
from miniqueue.cli import main
from tests.processes import family

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    files = library_files()[:40]
    monkeypatch.setattr(demo_module, "SIZES", (1, 2, 3))
    monkeypatch.setattr(demo_module, "library_files", lambda: files)
    monkeypatch.setattr(demo_module, "sleeping", lambda ms, count: sleeping(1, 5))
    monkeypatch.setattr(demo_module, "computing", lambda ms, count: computing(1, 5))


def test_it_counts_draws_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = family(os.getpid())
    assert main(["demo", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "to the last word" in out
    assert "Everything is stopped." in out
    picture = (tmp_path / "scaling.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert family(os.getpid()) == before


def test_a_wrong_count_is_one_sentence_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_module, "_sequential", lambda files: (Counter({"wrong": 1}), 0.1))
    assert main(["demo", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "are not those counted without a queue" in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
