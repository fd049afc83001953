"""How nbval runs the notebooks: standard error is not compared, and a cell has a limit of its own.

Libraries may warn on standard error as they like. A cell may measure for longer than a unit test
may run: its limit is --nbval-cell-timeout, and pytest-timeout only stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

CELL_S = 180


def pytest_collectstart(collector: pytest.Collector) -> None:
    if collector.path.suffix == ".ipynb":
        collector.skip_compare += ("stderr",)  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.timeout(CELL_S))
