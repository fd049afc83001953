"""The dashboard as somebody uses it: a real browser on a real stack."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from miniqueue.classroom import Stack
from tests.dashboard.driving import filtered, number, send, until
from tests.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HOSTILE = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"


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
    assert later in (rows.first.text_content() or "")  # also where it is not in sight
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
    task = send(stack, name="sleep", args=[6])
    victim = str(wait_for(lambda: stack.queue.get(task).worker))
    page.wait_for_selector(f"#workers [data-show='{task}']")
    page.click(f"[data-fault=kill][data-worker={victim}]")
    wait_for(lambda: not stack.workers[[w.name for w in stack.workers].index(victim)].running)
    wait_for(
        lambda: f"on {victim}" in page.inner_text("#log") and "reclaim" in page.inner_text("#log")
    )
    stack.scale(2)
    assert stack.queue.wait(task, 20).attempt == 2
    until(page, "/[1-9]\\d* leases ran out/.test(document.querySelector('#lanes').ariaLabel)")
    page.wait_for_selector("#workers tr.late")  # it still tells of the task that it had
    until(page, "/and 0 that run/.test(document.querySelector('#lanes').ariaLabel)")


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
        wait_for(lambda text=text: text[:50] in shown(page))  # type: ignore[misc]
        page.click("#task .close")
    page.fill("#filter [name=name]", HOSTILE)
    wait_for(lambda: page.inner_text("#list-note") == "None.")
    assert page.evaluate("window.pwned") is None
    assert page.locator("#task img").count() == 0


def shown(page: Page) -> str:
    """The text that is the result in the task's dialog; '' while it is not all there."""
    if page.is_visible("#task-all"):
        page.click("#task-all")
    try:
        return str(json.loads(page.inner_text("#task-result")))
    except ValueError:
        return ""


def test_ten_thousand_tasks_are_listed_without_a_hang(page: Page, stack: Stack) -> None:
    for _ in range(10):
        stack.queue.enqueue_many("echo", [("x",)] * 1000)
    wait_for(lambda: stack.inspector.queue_info("default").finished >= 10_000)  # none moves now
    rows = filtered(page, "", "echo")
    wait_for(lambda: rows.count() >= 100)
    for seen in range(600, 10_001, 500):
        page.evaluate("document.querySelector('#more').click()")
        wait_for(lambda seen=seen: rows.count() >= seen - 20)  # type: ignore[misc]
    longest = page.evaluate(
        "new Promise(done => { let worst = 0, n = 0, last = performance.now(); const turn = () => {"
        "const now = performance.now(); worst = Math.max(worst, now - last); last = now;"
        "++n < 30 ? requestAnimationFrame(turn) : done(worst) }; requestAnimationFrame(turn) })"
    )
    assert rows.count() >= 9500
    assert longest < 2000  # the page answers: no frame is near to what one calls a hang
