"""Tracing that is asked for and cannot be: one sentence that says what to install."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["opentelemetry.exporter.otlp.proto.http.trace_exporter"] = None  # as if not installed
from miniqueue.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["worker", "api"])
def test_without_the_extra_it_says_what_to_install(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, command],
        env={**os.environ, "MINIQUEUE_TRACING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("miniqueue: MINIQUEUE_TRACING=1")
    assert "pip install 'miniqueue[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr
