"""What tests do to a page of the dashboard, and what they read off it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from miniqueue.classroom import Stack
from tests.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of its own session, ended with the test."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}/")
    page.wait_for_selector("#link[data-state=on]")
    yield page
    context.close()
    assert errors == []


def number(page: Page, card: str) -> int:
    text = page.inner_text(f"#n-{card}").replace(",", "")
    return int(text) if text.isdigit() else -1


def until(page: Page, expression: str) -> None:
    """Wait for a JavaScript expression; the page's policy forbids Playwright's own way."""
    wait_for(lambda: page.evaluate(expression))


def send(stack: Stack, **task: Any) -> str:
    reply = stack.http.post("/task", json=task)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["task_id"])


def filtered(page: Page, state: str, name: str = "") -> Any:
    """The rows of the list behind a filter, as a locator."""
    page.select_option("#filter [name=state]", state)
    page.fill("#filter [name=name]", name)
    page.wait_for_selector("#list[aria-busy=false]")
    return page.locator("#list tbody tr")
