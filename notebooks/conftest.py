"""How nbval runs the notebooks: what is not compared, how long a cell may take, and that no process
is left when all have run.

Libraries may warn on standard error as they like; HTML says the same as the text beside it. A cell
may measure for longer than a unit test may run: its limit is --nbval-cell-timeout, and
pytest-timeout only stands behind it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.processes import marked

CELL_S = 180
GONE_S = 10


def pytest_sessionstart(session: pytest.Session) -> None:
    """Whatever notebooks start inherits a folder for temporary files, and is found by it."""
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="miniqueue-notebooks-")


def pytest_sessionfinish(session: pytest.Session) -> None:
    mark, end = os.environ["TMPDIR"], time.monotonic() + GONE_S
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        print("\nnotebooks have left processes:", [process.cmdline() for process in left])
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    else:
        Path(mark).rmdir()  # not empty: a stack has left files


def pytest_collectstart(collector: pytest.Collector) -> None:
    if collector.path.suffix == ".ipynb":
        collector.skip_compare += ("stderr", "text/html")  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(CELL_S))
