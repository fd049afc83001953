"""The benchmark scripts run, write their files, and say what cannot be."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SCALING = Path(__file__).parents[2] / "benchmarks" / "scaling.py"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCALING), *words]
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
