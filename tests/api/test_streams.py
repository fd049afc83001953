"""Server-sent events over a real connection: in order, without a gap, one reader for all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import httpx
import pytest

from miniqueue import feed, streams
from miniqueue.api import create_app
from miniqueue.functions import add, fail, sample
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.api.live import Message, listening, serving
from tests.processes import wait_for


@pytest.fixture
def queue(settings: Settings, client: Client) -> Queue:
    return Queue(settings=settings, client=client)


@pytest.fixture
def url(settings: Settings, client: Client) -> Iterator[str]:
    with serving(create_app(settings)) as url:
        yield url


def verbs(told: list[Message]) -> list[str]:
    return [message.event for message in told]


def blocked(client: Client) -> int:
    """Connections on which Redis holds a reader."""
    return int(client.raw.info("clients")["blocked_clients"])


def test_events_come_as_they_happen(url: str, queue: Queue, worker: Worker) -> None:
    with listening(f"{url}/events") as told:
        handle = queue.enqueue(add, 2, 3)
        worker.run_once()
        enqueue, claim, complete = islice(told, 3)
    assert [enqueue.event, claim.event, complete.event] == ["enqueue", "claim", "complete"]
    assert complete.data["tasks"][0]["task_id"] == handle.id
    assert complete.data["tasks"][0]["run_ms"] > 0
    assert complete.data["worker"] == "w"


def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(
    url: str, queue: Queue, worker: Worker
) -> None:
    queue.enqueue(add, 1, 1)
    first = Inspector(queue).events(limit=1)[0].id
    with listening(f"{url}/events", Last_Event_ID=first) as told:
        worker.run_once()
        heard = list(islice(told, 1))
    queue.enqueue_many(add, [(n, n) for n in range(5)])  # while nobody listens
    worker.run_once()
    with listening(f"{url}/events", Last_Event_ID=heard[-1].id) as told:
        expected = Inspector(queue).events(after=first)
        heard += islice(told, len(expected) - 1)
    assert [message.id for message in heard] == [event.id for event in expected]


def test_who_is_far_behind_is_read_for_from_redis(
    url: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE", 3)
    for n in range(10):
        queue.enqueue(add, n, n)
    with listening(f"{url}/events?after=1-0") as told:
        gap, *heard = islice(told, 11)
        queue.enqueue(add, 1, 1)
        heard += islice(told, 1)
    assert gap.event == "gap"  # 1-0 is not an event of this stream: something may be missing
    assert [m.id for m in heard] == [event.id for event in Inspector(queue).events(limit=100)]


def test_a_gap_is_told_and_only_then(url: str, queue: Queue, client: Client) -> None:
    for n in range(3):
        queue.enqueue(add, n, n)
    first, second, third = (event.id for event in Inspector(queue).events())
    with listening(f"{url}/events?after={first}") as told:
        assert next(told).id == second
    client.raw.xtrim(queue.protocol.keys.events, minid=third, approximate=False)
    with listening(f"{url}/events?after={first}") as told:
        gap, rest = islice(told, 2)
    assert (gap.event, gap.data) == ("gap", {"after": first})
    assert rest.id == third


def test_the_stream_of_a_task_begins_with_it_and_ends_with_it(
    url: str, queue: Queue, worker: Worker
) -> None:
    queue.enqueue(add, 1, 1)
    handle = queue.enqueue(fail.options(max_attempts=1))
    with listening(f"{url}/task/{handle.id}/events") as told:
        heard = [next(told)]
        worker.run_once()
        worker.run_once()
        heard += told  # to its end
    assert verbs(heard) == ["enqueue", "claim", "fail"]
    assert all(len(m.data["tasks"]) == 1 for m in heard)
    assert heard[-1].data["state"] == "failed"


def test_the_stream_of_an_ended_task_can_be_resumed_until_nothing_is_left(
    url: str, queue: Queue, worker: Worker
) -> None:
    handle = queue.enqueue(add, 1, 1)
    worker.run_once()
    with listening(f"{url}/task/{handle.id}/events") as told:
        heard = list(told)
    with listening(f"{url}/task/{handle.id}/events", Last_Event_ID=heard[0].id) as told:
        assert list(told) == heard[1:]
    reply = httpx.get(f"{url}/task/{handle.id}/events", headers={"Last-Event-ID": heard[-1].id})
    assert reply.status_code == 204


def test_a_task_that_was_retried_is_told_of_to_its_second_end(
    url: str, queue: Queue, worker: Worker
) -> None:
    handle = queue.enqueue(fail.options(max_attempts=1))
    worker.run_once()
    handle.queue.retry(handle.id)
    with listening(f"{url}/task/{handle.id}/events") as told:
        heard = list(islice(told, 4))
        worker.run_once()
        heard += told
    assert verbs(heard) == ["enqueue", "claim", "fail", "retry", "claim", "fail"]


def test_many_readers_are_one_for_redis(url: str, queue: Queue, client: Client) -> None:
    open_ones = [listening(f"{url}/events") for _ in range(8)]
    told = [one.__enter__() for one in open_ones]
    wait_for(lambda: blocked(client) == 1)
    queue.enqueue(add, 1, 1)
    assert {next(messages).event for messages in told} == {"enqueue"}
    assert blocked(client) <= 1
    for one in open_ones:
        one.__exit__(None, None, None)
    wait_for(lambda: blocked(client) == 0)  # and with nobody there, none


def test_a_reader_that_takes_nothing_is_dropped(
    settings: Settings, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_S", 0.2)
    with serving(create_app(replace(settings, max_streams=1))) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((host, int(port)))
            slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: httpx.get(f"{url}/events").status_code == 429)
            wait_for(lambda: _free(url, queue))


def _free(url: str, queue: Queue) -> bool:
    """Make more to tell than the sockets hold; whether the only place is free again."""
    queue.enqueue_many(sample, [()] * 10_000)
    with httpx.stream("GET", f"{url}/events") as reply:
        return reply.status_code == 200


def test_a_silent_stream_has_a_pulse(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.05)
    with httpx.stream("GET", f"{url}/events", timeout=5) as reply:
        assert any(line.startswith(": ping") for line in reply.iter_lines())


def test_streams_are_limited(settings: Settings, client: Client) -> None:
    with (
        serving(create_app(replace(settings, max_streams=2))) as url,
        listening(f"{url}/events"),
        listening(f"{url}/live"),
    ):
        reply = httpx.get(f"{url}/events")
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "5")
        assert "MINIQUEUE_MAX_STREAMS" in reply.json()["detail"]


@pytest.mark.parametrize("path", ["/events", "/live", "/task/0123456789abcdef/events"])
def test_a_strange_id_is_refused(url: str, path: str) -> None:
    for reply in (
        httpx.get(url + path, headers={"Last-Event-ID": "yesterday"}),
        httpx.get(url + path, params={"after": "yesterday"}),
    ):
        assert reply.status_code == 422
        assert "yesterday" in reply.text or "pattern" in reply.text


def test_an_unknown_task_has_no_stream(url: str) -> None:
    assert httpx.get(f"{url}/task/0123456789abcdef/events").status_code == 404


def test_without_redis_a_stream_is_refused_at_once() -> None:
    with serving(create_app(Settings(redis_url="redis://127.0.0.1:1/0"))) as url:
        assert httpx.get(f"{url}/events").status_code == 503


def test_live_tells_how_things_stand_and_what_a_second_brought(
    url: str, queue: Queue, worker: Worker
) -> None:
    queue.enqueue_many(add, [(n, n) for n in range(10)])
    queue.enqueue(fail.options(max_attempts=1))
    while worker.run_once():
        pass
    with listening(f"{url}/live") as told:
        found = {"": next(told)}
        while "digest" not in found:
            message = next(told)
            found[message.event] = message
    assert found["state"].data["queue"]["failed"] == 1
    assert found["state"].data["now_ms"] > 0
    digests = found["digest"].data
    assert sum(d["verbs"].get("complete", 0) for d in digests) == 10
    assert sum(count for d in digests for count in d["run"].values()) == 11
    assert [note["verb"] for d in digests for note in d["notes"] if note["verb"] == "fail"]
    assert found["digest"].id == Inspector(queue).events(limit=1)[0].id


def test_live_is_resumed_after_the_last_digest(url: str, queue: Queue, worker: Worker) -> None:
    queue.enqueue(add, 1, 1)
    with listening(f"{url}/live") as told:
        last = next(m for m in told if m.event == "digest")
    queue.enqueue_many(add, [(1, 1)] * 3)
    with listening(f"{url}/live", Last_Event_ID=last.id) as told:
        digest = next(m for m in told if m.event == "digest")
    assert sum(d["verbs"].get("enqueue", 0) for d in digest.data) == 3


def test_live_says_that_redis_is_away() -> None:
    with (
        serving(create_app(Settings(redis_url="redis://127.0.0.1:1/0"))) as url,
        listening(f"{url}/live") as told,
    ):
        state = next(m for m in told if m.event == "state")
    assert "error" in state.data


def test_places_of_queues_that_nobody_follows_are_given_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_QUEUES", 2)
    with listening(f"{url}/live?queue=a"), listening(f"{url}/events?queue=b"):
        assert httpx.get(f"{url}/events?queue=c").status_code == 429

    def follows_others() -> bool:
        paths = (f"{url}/events?queue=c", f"{url}/live?queue=d")
        with httpx.stream("GET", paths[0]) as one, httpx.stream("GET", paths[1]) as two:
            return one.status_code == two.status_code == 200

    wait_for(follows_others)
