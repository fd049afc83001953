"""Who may open the dashboard, where, and how it looks."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from miniqueue.classroom import Stack
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


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", {"color_scheme": "light", "viewport": {"width": 1300, "height": 900}}),
        ("dark", {"color_scheme": "dark", "viewport": {"width": 1300, "height": 900}}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
    ],
)
def test_it_fits_dark_rooms_and_telephones(
    browser: Browser, stack: Stack, pictures: Path, look: str, options: dict[str, Any]
) -> None:
    for page in opened(browser, stack.url, **options):
        for _ in range(4):
            stack.queue.enqueue_many("sleep", [(0.03,)] * 60)
            stack.queue.enqueue_many("flaky", [(0.5,)] * 6)
        wait_for(lambda page=page: number(page, "waiting") == 0, 30)  # type: ignore[misc]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0  # nothing sticks out sideways
        page.screenshot(path=pictures / f"dashboard-{look}.png")


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
