"""A real browser on a real stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from miniqueue.classroom import Stack
from miniqueue.settings import Settings
from tests.dashboard.driving import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, the one that is installed.

    Ended with the module: Playwright keeps an event loop running in this thread meanwhile, and
    another test's asyncio.run() would be refused.
    """
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        missing("no Chromium here: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def missing(why: str) -> NoReturn:
    """Skip what needs it; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with a short lease, so that a killed worker's task is soon taken back."""
    with Stack(workers=2, settings=Settings(redis_url="", lease_s=1.5)) as stack:
        yield stack


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """The dashboard, live; any error in its console fails the test."""
    yield from opened(browser, stack.url)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: into the docs when they are made anew (PICTURES=1)."""
    docs = Path(__file__).parents[2] / "docs" / "img"
    return docs if os.environ.get("PICTURES") else tmp_path
