"""The benchmark scripts run, write their files, and say what cannot be."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


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


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--workload", "foo"], "say one of sleep"), (["--workers", "0"], "at least 1")],
)
def test_what_cannot_be_is_said(words: list[str], said: str) -> None:
    refused = run(*words)
    assert refused.returncode == 2
    assert said in refused.stderr


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
