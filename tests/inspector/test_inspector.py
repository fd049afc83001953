"""Inspector: the read side, bounded and changing nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miniqueue.errors import ConfigError, TaskNotFound
from miniqueue.inspector import SCAN, Inspector, overview
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, task
from miniqueue.settings import Settings
from miniqueue.task import TaskState
from miniqueue.worker import Worker
from tests.protocol.bench import Bench, failure, result, sent, snapshot

HOUR_MS = 3_600_000


@pytest.fixture
def bench(client: Client, settings: Settings) -> Bench:
    """A queue that holds one task in each state, and some more."""
    bench = Bench(client, settings)
    bench.put_all(["h1", "h2"], priority="high")
    bench.put_all(["n1", "n2", "n3"])
    bench.put("l1", priority="low")
    bench.put("gone", "cancelled", at_ms=2 * HOUR_MS)
    bench.put("mail1", "running", at_ms=HOUR_MS - 1000, name="mail")
    return bench


@pytest.fixture
def inspector(bench: Bench) -> Inspector:
    return Inspector(bench.queue)


def ids(inspector: Inspector, state: str | None = None, **query: Any) -> list[str]:
    """All ids that the pages of a query give, in order."""
    found: list[str] = []
    page = inspector.tasks(state, **query)
    found += [task.id for task in page.tasks]
    while page.cursor is not None:
        page = inspector.tasks(state, cursor=page.cursor, **query)
        found += [task.id for task in page.tasks]
    return found


EXPECTED = {
    "queued": ["h1", "h2", "n1", "n2", "n3", "l1"],
    "scheduled": ["by-scheduled"],
    "running": ["mail1", "by-running"],
    "failed": ["by-failed"],
    "succeeded": ["by-finished"],
    "cancelled": ["gone"],
    "deferred": [],
}


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize("state", list(TaskState))
def test_tasks_of_a_state_come_in_their_order(inspector: Inspector, state: str, limit: int) -> None:
    assert ids(inspector, state, limit=limit) == EXPECTED[state]


@pytest.mark.parametrize("limit", [1, 4, 12, 13, 50])
def test_all_tasks_come_once_running_ones_first(inspector: Inspector, limit: int) -> None:
    found = ids(inspector, limit=limit)
    assert sorted(found) == sorted(task_id for state in EXPECTED.values() for task_id in state)
    assert found[:4] == ["mail1", "by-running", "h1", "h2"]


def test_a_page_is_no_longer_than_its_limit(inspector: Inspector) -> None:
    page = inspector.tasks(limit=4)
    assert len(page.tasks) == 4
    assert page.cursor is not None


def test_a_name_filters(inspector: Inspector) -> None:
    assert ids(inspector, name="mail") == ["mail1"]
    assert ids(inspector, "running", name="echo") == ["by-running"]
    assert ids(inspector, name="nobody") == []


def test_another_queue_can_be_named(inspector: Inspector, bench: Bench) -> None:
    other = Bench(bench.client, replace(bench.settings, queue="other"))
    other.put("x")
    assert ids(inspector, "queued", queue="other") == ["x"]
    assert ids(inspector, queue="nowhere") == []


def test_r7_one_call_looks_at_so_many_tasks_whatever_the_filter(
    inspector: Inspector, bench: Bench
) -> None:
    bench.queue.submit([sent(f"t{i}") for i in range(SCAN + 500)])
    page = inspector.tasks("queued", name="nobody")
    assert page.tasks == []
    assert page.cursor is not None
    assert inspector.tasks("queued", name="nobody", cursor=page.cursor).cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "0", "99-0", "0-x", "-1-0", "²-0"])
def test_a_cursor_that_no_page_gave_is_refused(inspector: Inspector, cursor: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        inspector.tasks(cursor=cursor)


def test_a_state_that_does_not_exist_is_refused_with_those_that_do(inspector: Inspector) -> None:
    with pytest.raises(ConfigError, match=r"'done'.*succeeded"):
        inspector.tasks("done")


def test_an_id_whose_hash_expired_is_left_out(inspector: Inspector, bench: Bench) -> None:
    bench.client.raw.delete(bench.keys.task("n2"))
    assert "n2" not in ids(inspector, "queued")


def test_reading_changes_nothing(inspector: Inspector, bench: Bench) -> None:
    before = snapshot(bench.client, bench.queue)
    inspector.tasks()
    inspector.queues()
    inspector.workers()
    inspector.events()
    inspector.explain("n1")
    inspector.timeline("n1")
    inspector.check()
    after = snapshot(bench.client, bench.queue)
    strip = {path for path in before if path.startswith("ttl ")}
    assert {p: v for p, v in after.items() if p not in strip} == {
        p: v for p, v in before.items() if p not in strip
    }


# -- one task --------------------------------------------------------------------------------------


def test_an_unknown_task_is_not_found(inspector: Inspector) -> None:
    for ask in (inspector.task, inspector.logs, inspector.explain):
        with pytest.raises(TaskNotFound):
            ask("nobody")
    assert inspector.timeline("nobody") == []


def test_a_timeline_tells_the_life_of_one_task(client: Client, settings: Settings) -> None:
    bench = Bench(client, settings)
    client.run(bench.protocol.enqueue([sent("a"), sent("b")]))
    client.run(bench.protocol.claim("w1", 2))
    client.run(bench.protocol.fail("w1", failure("a", "scheduled")))
    client.run(bench.protocol.promote())
    client.run(bench.protocol.claim("w2", 1))
    client.run(bench.protocol.complete("w2", [result("a", 2)]))
    events = Inspector(bench.queue).timeline("a")
    told = [(e.verb, e.tasks[0].attempt, e.worker, e.state) for e in events]
    assert told == [
        ("enqueue", 0, "", ""),
        ("claim", 1, "w1", ""),
        ("fail", 1, "w1", "scheduled"),
        ("promote", 1, "", ""),
        ("claim", 2, "w2", ""),
        ("complete", 2, "w2", ""),
    ]
    assert all(len(event.tasks) == 1 for event in events)
    assert (events[-1].tasks[0].started_ms, events[-1].tasks[0].run_ms) == (1000, 2.5)
    assert events[2].reason == "E: m"


def test_explain_knows_the_surroundings(inspector: Inspector, bench: Bench) -> None:
    text = " ".join(inspector.explain("n2"))
    assert "behind 3 tasks" in text  # n1 and two of high priority
    assert "No worker serves this queue" in text
    bench.queue.pause()
    assert "paused" in " ".join(inspector.explain("n2"))
    Worker(bench.queue, Registry()).beat()
    assert "No worker" not in " ".join(inspector.explain("n2"))


def test_explain_counts_all_that_goes_first(inspector: Inspector) -> None:
    assert "behind 1 task." in inspector.explain("h2")[0]
    assert "behind 5 tasks." in inspector.explain("l1")[0]


def test_r7_explain_looks_for_a_place_among_the_first_only(
    inspector: Inspector, bench: Bench
) -> None:
    others = [f"other{i}" for i in range(SCAN)]
    bench.client.run(bench.protocol.enqueue([sent(other) for other in others]))
    last = SCAN - 3  # n1 to n3 stand before them in the list, h1 and h2 in the one that goes first
    assert f"behind {SCAN + 1:,} tasks" in inspector.explain(others[last - 1])[0]
    assert "far from the front" in inspector.explain(others[last])[0]


def test_explain_knows_the_lease(inspector: Inspector, bench: Bench) -> None:
    bench.client.raw.zadd(bench.keys.running, {"mail1": bench.now() - 60_000})
    assert any("lease ran out 60." in sentence for sentence in inspector.explain("mail1"))
    assert any("lease ends in 3" in sentence for sentence in inspector.explain("by-running"))


# -- events ----------------------------------------------------------------------------------------


def test_the_last_events_come_in_order(inspector: Inspector, bench: Bench) -> None:
    for i in range(5):
        bench.client.run(bench.protocol.enqueue([sent(f"e{i}")]))
    events = inspector.events(limit=3)
    assert [event.tasks[0].task_id for event in events] == ["e2", "e3", "e4"]


def test_events_after_an_id_go_on_from_there(inspector: Inspector, bench: Bench) -> None:
    for i in range(5):
        bench.client.run(bench.protocol.enqueue([sent(f"e{i}")]))
    first, *rest = inspector.events()
    assert inspector.events(after=first.id) == rest
    assert inspector.events(after=first.id, limit=2) == rest[:2]
    assert inspector.events(after=rest[-1].id) == []
    assert first.at_ms == int(first.id.partition("-")[0])


@pytest.mark.parametrize("after", ["x", "1-x", "", "(1-1"])
def test_an_event_id_that_is_none_is_refused(inspector: Inspector, after: str) -> None:
    with pytest.raises(ConfigError):
        inspector.events(after=after)


def test_r7_the_stream_of_events_is_capped(client: Client, settings: Settings) -> None:
    bench = Bench(client, replace(settings, events_kept=100))
    for i in range(400):
        client.run(bench.protocol.enqueue([sent(f"e{i}")]))
    assert len(Inspector(bench.queue).events(limit=1000)) < 300


# -- queues and workers ----------------------------------------------------------------------------


def test_a_queue_in_numbers(inspector: Inspector, bench: Bench) -> None:
    bench.client.run(bench.protocol.claim("w", 1))
    bench.client.raw.hset(bench.keys.task("n1"), "enqueued_ms", bench.now() - 90_000)
    bench.queue.pause()
    info = inspector.queue_info("default")
    assert (info.name, info.paused, info.waiting) == ("default", True, 5)
    assert info.ready == {"high": 1, "normal": 3, "low": 1}
    assert (info.scheduled, info.running, info.failed, info.finished) == (1, 3, 1, 2)
    assert info.oldest_wait_s == pytest.approx(90, abs=2)
    assert info.stats == {"claim": 1}


def test_a_queue_that_was_never_used_is_empty(inspector: Inspector) -> None:
    info = inspector.queue_info("nowhere")
    assert (info.waiting, info.running, info.oldest_wait_s, info.stats) == (0, 0, 0, {})


def test_all_queues_by_name(inspector: Inspector, bench: Bench) -> None:
    for name in ("mail", "art"):
        bench.client.raw.sadd("mq:queues", name)
    assert [queue.name for queue in inspector.queues()] == ["art", "default", "mail"]


def test_workers_newest_beat_first_and_a_silent_one_is_not_alive(
    inspector: Inspector, bench: Bench
) -> None:
    for name in ("w1", "w2"):
        Worker(bench.queue, Registry(), name=name).beat()
    silent_since = bench.now() - 20_000
    bench.client.raw.zadd("mq:workers", {"w1": silent_since})
    bench.client.raw.hset("mq:worker:w1", "beat_ms", silent_since)
    assert [(w.id, w.alive) for w in inspector.workers()] == [("w2", True), ("w1", False)]
    assert inspector.workers()[1].beat_age_s == pytest.approx(20, abs=2)


def test_a_worker_whose_hash_expired_is_not_listed(inspector: Inspector, bench: Bench) -> None:
    bench.client.raw.zadd("mq:workers", {"w1": bench.now()})
    assert inspector.workers() == []


def test_announced_functions_are_listed(inspector: Inspector, bench: Bench) -> None:
    registry = Registry()
    task(registry=registry, name="hello")(lambda who: who)
    Worker(Queue(settings=bench.settings, client=bench.client), registry).start()
    assert [spec.usage for spec in inspector.functions().values()] == ["hello(who)"]


def test_the_overview_names_queues_and_workers(inspector: Inspector, bench: Bench) -> None:
    Worker(bench.queue, Registry(), name="w1").beat()
    bench.queue.pause()
    text = overview(inspector)
    assert "default (paused)" in text
    assert "w1" in text
