"""Who may open the dashboard, where, and how it looks."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from miniqueue.classroom import Stack
from miniqueue.settings import Settings
from tests.dashboard.driving import number, opened, until
from tests.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_a_bare_api_has_no_fault_buttons(browser: Browser) -> None:
    with Stack(workers=0, faults=False) as bare:
        for page in opened(browser, bare.url):
            assert not page.is_visible(".faults")
        assert bare.http.get("/classroom").status_code == 404
        assert bare.http.post("/classroom/kill", json={"worker": "w0"}).status_code == 404


def test_a_fault_that_cannot_be_done_is_explained(stack: Stack) -> None:
    reply = stack.http.post("/classroom/kill", json={"worker": "nobody"})
    assert (reply.status_code, reply.json()["detail"]) == (
        409,
        "no worker of this stack is called 'nobody'",
    )
    assert stack.http.post("/classroom/format-disk", json={}).status_code == 422


@pytest.fixture
def secured() -> Iterator[Stack]:
    tokens = {"MINIQUEUE_API_TOKEN": "full-1", "MINIQUEUE_READ_TOKEN": "read-2"}
    with Stack(workers=1, environ=tokens) as stack:
        yield stack


def test_the_page_asks_for_a_token_and_keeps_it_out_of_addresses(
    browser: Browser, secured: Stack
) -> None:
    context = browser.new_context()
    page = context.new_page()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{secured.url}/")
    page.fill("#login-form [name=token]", "wrong")
    page.click("#login-form button")
    until(page, "document.querySelector('#login-error').innerText")
    page.fill("#login-form [name=token]", "read-2")
    page.click("#login-form button")
    page.wait_for_selector("#link[data-state=on]")
    wait_for(lambda: number(page, "waiting") == 0)
    page.click("#pause")
    page.click("#sure-yes")
    page.wait_for_selector("#alert:not([hidden])")
    assert "may read and nothing else" in page.inner_text("#alert")
    secured.queue.enqueue("sample")  # the next state takes nothing from what was said
    wait_for(lambda: number(page, "finished") == 1)
    assert "may read and nothing else" in page.inner_text("#alert")
    assert not any("read-2" in address for address in addresses)
    assert "read-2" not in (secured.directory / "api.log").read_text()
    context.close()


@pytest.fixture(scope="module")
def at_work() -> Iterator[Stack]:
    """A stack that is never idle; for pictures one that has worked a while and lost a worker."""
    settings = Settings(redis_url="", lease_s=3)
    with Stack(workers=4, settings=settings) as stack, working(stack):
        if os.environ.get("PICTURES"):
            time.sleep(30)
            stack.kill_worker(1)
            time.sleep(8)
            stack.scale(4)
            time.sleep(4)
        yield stack


@contextlib.contextmanager
def working(stack: Stack) -> Iterator[None]:
    """Tasks come in waves until the end of the block."""
    over = threading.Event()

    def send() -> None:
        for turn in itertools.count():
            stack.queue.enqueue_many("sleep", [(0.02 + 0.01 * (n % 5),) for n in range(11)])
            if turn % 8 == 0:
                stack.queue.enqueue_many("sleep", [(0.05,)] * (20 + turn % 48))
                stack.queue.enqueue_call("sleep", [0.15], {}, {"priority": "high"})
                stack.queue.enqueue_call("sleep", [0.3], {}, {"priority": "low"})
                stack.queue.enqueue("flaky", 0.8)
            if over.wait(0.2):
                return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", {"color_scheme": "light", "viewport": {"width": 1300, "height": 1000}}),
        ("dark", {"color_scheme": "dark", "viewport": {"width": 1300, "height": 1000}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
    ],
)
def test_it_fits_dark_rooms_and_telephones_while_tasks_flow(
    browser: Browser, at_work: Stack, pictures: Path, look: str, options: dict[str, Any]
) -> None:
    for page in opened(browser, at_work.url, **options):
        wait_for(lambda page=page: number(page, "running") > 0, 30)  # type: ignore[misc]
        until(page, "Number(document.querySelector('#n-rate').innerText) > 10")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0  # nothing sticks out sideways
        page.screenshot(path=pictures / f"dashboard-{look}.png")


def test_the_legend_shows_which_lines_are_dashed(page: Page) -> None:
    styles = page.evaluate(
        "[...document.querySelectorAll('#chart-ms .u-series .u-marker')]"
        ".map(e => getComputedStyle(e).borderTopStyle)"
    )
    assert styles[-4:] == ["solid", "dashed", "solid", "dashed"]


def test_it_is_used_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the tasks"
    page.focus("#open-submit")
    page.keyboard.press("Enter")
    page.wait_for_selector("#submit[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#submit:not([open])", state="attached")
    assert page.evaluate("document.activeElement.id") == "open-submit"  # where one was


def test_everything_that_is_operated_has_a_name(page: Page) -> None:
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea, canvas')]"
        ".filter(e => !e.innerText?.trim() && !e.ariaLabel && !e.labels?.length)"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.locator("main").count() == page.locator("h1").count() == 1


def test_the_page_works_behind_a_prefix(browser: Browser, stack: Stack) -> None:
    """As behind jupyter-server-proxy: it asks for nothing outside its own folder."""
    asked: list[str] = []
    context = browser.new_context()
    page = context.new_page()

    def forward(route: Any) -> None:
        asked.append(route.request.url)
        path = route.request.url.split("/user/ada/proxy/8000", 1)[1]
        if path.startswith("/live"):  # a stream has no end: one message is enough
            route.fulfill(status=200, body='event: state\ndata: {"error": "seen"}\n\n')
            return
        with urllib.request.urlopen(stack.url + path) as reply:
            route.fulfill(status=200, body=reply.read(), headers=dict(reply.headers))

    page.route("**/user/ada/proxy/8000/**", forward)
    page.route(re.compile(r"^(?!.*/user/ada/proxy/8000/)"), lambda route: route.abort())
    page.goto("http://hub.test/user/ada/proxy/8000/")
    until(page, "document.querySelector('#alert').innerText.includes('seen')")
    assert any("/functions" in url for url in asked)
    context.close()


def test_the_description_of_the_api_needs_no_internet(browser: Browser, stack: Stack) -> None:
    context = browser.new_context()
    page = context.new_page()
    outside: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(f"{stack.url}/docs")
    page.click("[data-path='/healthz']")  # a route unfolds, and is tried
    page.click(".try-out__btn")
    page.click(".execute")
    page.wait_for_selector(".live-responses-table")
    assert [url for url in outside if not url.startswith((f"{stack.url}/", "data:"))] == []
    assert [text for text in errors if "Content Security Policy" in text] == []
    context.close()
