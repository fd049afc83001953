"""The benchmark scripts run, write their files, and say what cannot be."""

from __future__ import annotations

import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py") if path.name != "harness.py")


def run(*words: str, script: str = "scaling.py") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=80, check=False)


def test_scaling_measures_and_writes_its_files(tmp_path: Path) -> None:
    words = ["--workers", "1,2,3", "--workload", "sleep,empty", "--tasks", "5", "--repeats", "2"]
    done = run(*words, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "scaling.json").read_text())
    assert [(p["workers"], p["workload"]) for p in told["points"][:2]] == [
        (1, "sleep 20 ms"),
        (1, "empty"),
    ]
    assert len(told["points"]) == 3 * 2 * 2
    assert set(told["fits"]["empty"]) == {"amdahl", "usl"}
    assert told["machine"]["cores"]
    with (tmp_path / "scaling.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_guarantees_compares_the_settings_of_the_dial(tmp_path: Path) -> None:
    words = ["--only", "in a task", "--tasks", "60", "--seconds", "2", "--out", str(tmp_path)]
    done = run(*words, script="guarantees.py")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "guarantees.json").read_text())
    assert (row["fault"], row["lost"], row["broken"]) == ("a worker is killed in a task", 0, [])
    before, after, fenced = (row[n] for n in ("ack before", "ack after", "after + fenced sink"))
    assert before[0] + after[0] == 60
    assert before[2] == fenced[1] == fenced[2] == after[1] == 0
    assert "| a worker is killed in a task |" in done.stdout


def test_drain_compares_with_the_limit(tmp_path: Path) -> None:
    words = ["--tasks", "200", "--workers", "1", "--rounds", "1", "--out", str(tmp_path)]
    done = run(*words, script="drain.py")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "drain.json").read_text())
    assert told["machine"]["cores"]
    for name in ("miniqueue", "limit-lua-64"):
        assert set(told[name]) == {"1"}
        assert told[name]["1"]["tasks/s"]["median"] > 0
    assert (tmp_path / "drain.png").read_bytes().startswith(b"\x89PNG")


def test_spread_measures_one_node_and_counts_on(tmp_path: Path) -> None:
    done = run("--quick", "--calls", "20", "--out", str(tmp_path), script="spread.py")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "spread.json").read_text())
    one, many = (told["ways"][f"sent by {n}, claimed by 64"] for n in (1, 100))
    assert one["redis us a task"] > many["redis us a task"] > 1
    assert told["waits"]["0.9"]["p50_ms"] > told["waits"]["0.3"]["p50_ms"]
    assert told["spread"]["3"]["1"]["median"] == 1  # one queue is on one node
    assert 1 / 3 <= told["spread"]["3"]["1000"]["median"] < 0.4
    assert told["plans"]["1000000"]["sent by 1, claimed by 64"] > 10
    assert (tmp_path / "spread.png").read_bytes().startswith(b"\x89PNG")


def test_peers_measures_a_row_and_says_what_it_promises(tmp_path: Path) -> None:
    words = ["--peers", "limit-lua-64", "--measure", "enqueue,roundtrip", "--quick"]
    done = run(*words, "--out", str(tmp_path), script="peers.py")
    assert done.returncode == 0, done.stderr
    (limit,) = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert (limit["name"], limit["delivery"]) == ("limit-lua-64", "never recovered")
    assert "enqueue" in limit["figures"]
    assert "p50_ms" not in limit["figures"]  # nobody waits for a result there
    assert "| limit-lua-64, " in (tmp_path / "peers.md").read_text()
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


def test_a_peer_whose_environment_cannot_be_made_leaves_a_row_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    words = ["--peers", "huey,limit-lua-64", "--measure", "enqueue", "--quick"]
    folders = ["--envs", str(tmp_path / "envs"), "--out", str(tmp_path)]
    done = run(*words, *folders, script="peers.py")
    assert done.returncode == 0, done.stderr
    huey, limit = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert huey["problems"]["enqueue"]
    assert limit["figures"]["enqueue"]["median"] > 0


def code_of(script: str, *words: str) -> Any:
    """Run its main() in this process; the exit code."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(script.removesuffix(".py")).main(list(words))
    return ended.value.code


@pytest.fixture
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS / "drivers")  # which only the first import would add
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("drain.py", ["--workers", "0"], "from 1 to 64"),
        ("drain.py", ["--tasks", "x"], "whole number"),
        ("peers.py", ["--peers", "sidekiq"], "say one or more of celery"),
        ("peers.py", ["--measure", "joy"], "say one or more of enqueue"),
        ("scaling.py", ["--workload", "foo"], "say one of sleep"),
        ("scaling.py", ["--workers", "0"], "at least 1"),
    ],
)
@pytest.mark.usefixtures("_importable")
def test_a_benchmark_says_what_it_takes(
    script: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(script, *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.usefixtures("_importable")
def test_every_benchmark_has_help_and_a_row_in_the_readme(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(script, "--help") == 0
    assert "usage" in capsys.readouterr().out
    assert f"[{script}]({script})" in (BENCHMARKS / "README.md").read_text()
