"""The dashboard as somebody uses it: a real browser on a real stack."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from miniqueue.classroom import Stack
from tests.dashboard.conftest import opened
from tests.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"


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


def test_a_task_is_sent_and_watched_to_its_end(page: Page) -> None:
    page.click("#open-submit")
    page.fill("#submit-form [name=name]", "add")
    until(page, "document.querySelector('#usage').innerText.includes('add(x: float')")
    page.fill("#submit-form [name=args]", "[2, 3]")
    page.click("#submit-form button")
    page.wait_for_selector("#task[open] .state[data-s=succeeded]")
    assert page.inner_text("#task-result") == "5"
    assert page.inner_text("#task-args") == "add(2, 3)"
    until(page, "document.querySelectorAll('#task-timeline li').length === 3")
    assert re.search(r"complete · attempt 1 · on w\d", page.inner_text("#task-timeline"))
    assert "It succeeded on attempt 1" in page.inner_text("#task-explain")


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [("add", "[2", "not JSON"), ("ad", "[]", "add"), ("add", "[1]", "add(x: float, y: float)")],
)
def test_a_wrong_task_is_refused_in_the_form(page: Page, name: str, args: str, said: str) -> None:
    page.click("#open-submit")
    page.fill("#submit-form [name=name]", name)
    page.fill("#submit-form [name=args]", args)
    page.click("#submit-form button")
    until(page, "document.querySelector('#submit-error').innerText")
    assert said in page.inner_text("#submit-error")
    assert page.is_visible("#submit")


def test_a_failed_task_shows_its_traceback_and_is_retried(page: Page, stack: Stack) -> None:
    send(stack, name="fail", max_attempts=1)
    filtered(page, "failed", "fail").first.locator("button").click()
    page.wait_for_selector("#task[open] .state[data-s=failed]")
    assert "Traceback" in page.inner_text("#task-result")
    assert "RuntimeError: it fails, as asked" in page.inner_text("#task-result")
    page.click("#task-retry")
    until(
        page,
        "[...document.querySelectorAll('#task-timeline li')]"
        ".filter(line => line.innerText.includes('fail')).length === 2",
    )
    page.click("#task .close")


def test_all_failed_are_retried_or_forgotten_after_a_question(page: Page, stack: Stack) -> None:
    for _ in range(3):
        send(stack, name="fail", max_attempts=1)
    filtered(page, "failed")
    wait_for(lambda: number(page, "failed") >= 3)
    page.click("#purge-all")
    page.click("#sure button:not(#sure-yes)")
    assert stack.inspector.queue_info("default").failed >= 3
    page.click("#purge-all")
    page.click("#sure-yes")
    wait_for(lambda: number(page, "failed") == 0)
    assert "purged" in page.inner_text("#done-note")


def test_a_running_task_is_cancelled(page: Page, stack: Stack) -> None:
    task = send(stack, name="sleep", args=[30])
    page.fill("#filter [name=id]", task)
    page.click("#filter button:text-is('Open')")
    page.wait_for_selector("#task[open] .state[data-s=running]")
    page.click("#task-cancel")
    page.wait_for_selector("#task .state[data-s=cancelled]")


def test_the_list_is_filtered_by_state_and_function(page: Page, stack: Stack) -> None:
    later = send(stack, name="echo", args=["later"], delay_s=3600)
    rows = filtered(page, "scheduled", "echo")
    wait_for(lambda: rows.count() == 1)
    assert later in rows.first.inner_text()
    filtered(page, "scheduled", "sample")
    wait_for(lambda: page.inner_text("#list-note") == "None.")


def test_a_queue_is_paused_and_resumed(page: Page, stack: Stack) -> None:
    try:
        page.click("#pause")
        page.click("#sure-yes")
        wait_for(lambda: page.inner_text("#pause") == "Resume")
        send(stack, name="sample")
        wait_for(lambda: number(page, "waiting") == 1)
        page.click("#pause")
        wait_for(lambda: page.inner_text("#pause") == "Pause" and number(page, "waiting") == 0)
    finally:
        stack.queue.resume()  # the other tests share this stack


def test_a_worker_is_killed_by_a_button_and_its_task_moves(page: Page, stack: Stack) -> None:
    task = send(stack, name="sleep", args=[3])
    victim = str(wait_for(lambda: stack.queue.get(task).worker))
    page.click(f"[data-fault=kill][data-worker={victim}]")
    wait_for(lambda: not stack.workers[[w.name for w in stack.workers].index(victim)].running)
    wait_for(
        lambda: f"on {victim}" in page.inner_text("#log") and "reclaim" in page.inner_text("#log")
    )
    stack.scale(2)
    assert stack.queue.wait(task, 20).attempt == 2
    until(page, "/[1-9]\\d* leases ran out/.test(document.querySelector('#lanes').ariaLabel)")


def test_a_frozen_worker_falls_silent_and_thaws(page: Page, stack: Stack) -> None:
    name = stack.workers[0].name
    page.click(f"[data-fault=freeze][data-worker={name}]")
    row = f"#workers tr:has([data-worker={name}])"
    page.wait_for_selector(f"{row}.late", timeout=15_000)
    page.click(f"[data-fault=thaw][data-worker={name}]")
    page.wait_for_selector(f"{row}:not(.late)")


def test_a_lost_connection_is_resumed_without_missing_an_event(page: Page, stack: Stack) -> None:
    send(stack, name="fail", max_attempts=1)
    wait_for(lambda: page.locator("#log li").count() > 0)
    page.context.set_offline(True)
    stack.kill_api()
    try:
        wait_for(lambda: page.get_attribute("#link", "data-state") == "off")
        ids = [stack.queue.enqueue_call("fail", [], {}, {"max_attempts": 1}).id for _ in range(20)]
        for task in ids:
            stack.queue.wait(task, 10)
    finally:
        stack.start_api()
    page.context.set_offline(False)
    page.wait_for_selector("#link[data-state=on]")
    wait_for(lambda: all(task in page.inner_text("#log") for task in ids))
    told = re.findall(r"fail ([0-9a-f]{16})", page.inner_text("#log"))
    assert sorted(task for task in told if task in ids) == sorted(ids)  # and none twice


def test_hostile_names_and_results_are_shown_as_text(page: Page, stack: Stack) -> None:
    texts = [HOSTILE, "‮evil‬ שלום", "👩‍🚀" * 10, "a" * 1_000_000]
    for text in texts:
        task = send(stack, name="echo", args=[text])
        stack.queue.wait(task, 10)
        page.fill("#filter [name=id]", task)
        page.click("#filter button:text-is('Open')")
        page.wait_for_selector("#task[open] .state[data-s=succeeded]")
        wait_for(lambda text=text: text[:50] in json.loads(shown(page)))  # type: ignore[misc]
        page.click("#task .close")
    page.fill("#filter [name=name]", HOSTILE)
    wait_for(lambda: page.inner_text("#list-note") == "None.")
    assert page.evaluate("window.pwned") is None
    assert page.locator("#task img").count() == 0


def shown(page: Page) -> str:
    """The result in the task's dialog, all of it."""
    if page.is_visible("#task-all"):
        page.click("#task-all")
    return page.inner_text("#task-result")


def test_ten_thousand_tasks_are_listed_without_a_hang(page: Page, stack: Stack) -> None:
    for _ in range(10):
        stack.queue.enqueue_many("echo", [("x",)] * 1000)
    wait_for(lambda: stack.inspector.queue_info("default").finished >= 10_000)  # none moves now
    rows = filtered(page, "", "echo")
    wait_for(lambda: rows.count() >= 100)
    for seen in range(600, 10_001, 500):
        page.click("#more")
        wait_for(lambda seen=seen: rows.count() >= seen - 20)  # type: ignore[misc]
    longest = page.evaluate(
        "new Promise(done => { let worst = 0, n = 0, last = performance.now(); const turn = () => {"
        "const now = performance.now(); worst = Math.max(worst, now - last); last = now;"
        "++n < 30 ? requestAnimationFrame(turn) : done(worst) }; requestAnimationFrame(turn) })"
    )
    assert rows.count() >= 9500
    assert longest < 2000  # the page answers: no frame is near to what one calls a hang


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
