"""The smoke run, by the very command that README and docs give."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from miniqueue.classroom.chaos.invariants import INVARIANTS
from miniqueue.classroom.service import server_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

CHAOS = [sys.executable, "-m", "miniqueue", "chaos"]


def test_smoke_nothing_is_lost_and_nothing_is_left_behind(tmp_path: Path) -> None:
    if server_binary() is None:
        pytest.skip("no Redis or Valkey server")
    command = [*CHAOS, "--size", "smoke", "--seed", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Valid: all {len(INVARIANTS)} invariants held." in done.stdout
    counts = dict(re.findall(r"^(\w[\w, ]+?)  +([\d,]+) *$", done.stdout, re.MULTILINE))
    assert counts["attempted"] == "2,005"
    assert (counts["lost"], counts["unexpected"]) == ("0", "0")
    assert counts["duplicated, unexplained"] == "0"
    assert int(counts["duplicated, explained"]) > 20
    assert (tmp_path / "chaos-1.jsonl").stat().st_size > 100_000
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in _words(p)]
    assert left == []


def test_what_cannot_be_is_said_at_once() -> None:
    done = subprocess.run(
        [*CHAOS, "--plant", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no plant is called 'nothing'; there are no-fence" in done.stderr


def _words(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ())
