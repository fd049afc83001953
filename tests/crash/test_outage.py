"""Redis stands still or is killed, and keeps what it had: nothing is lost, doubled or half done.

Here Redis writes all to a file before it answers (appendfsync always), so that what was accepted is
there after a SIGKILL. A Redis that stands still (SIGSTOP) is worse than one that is gone: its
connections stay open, and requests wait for the socket's timeout.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from miniqueue.classroom.service import Service, free_port
from miniqueue.functions import echo
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue, TaskHandle
from miniqueue.redis_client import SOCKET_TIMEOUT_S
from tests.crash.conftest import Crew
from tests.crash.jobs import quick
from tests.crash.test_redis import Server, serving
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(25)]

BOUND_S = SOCKET_TIMEOUT_S + 2.5  # a request that Redis does not answer is answered by then


class Durable(Server):
    """A Redis that keeps what it had when it is killed, and that can stand still."""

    options: Mapping[str, str] = {"appendonly": "yes", "appendfsync": "always"}

    @contextmanager
    def killed(self) -> Iterator[None]:
        self.kill()
        yield
        self.start()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        self.service.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.service.signal(signal.SIGCONT)


class Door:
    """An API process, and how to knock."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        environ = {**os.environ, **server.queue.settings.environ()}
        command = [sys.executable, "-m", "miniqueue", "api", "--port", str(port)]
        self.service = Service("api", command, log=folder / "api.log", environ=environ)
        self.http = httpx.Client(base_url=self.url, timeout=20)
        self.task_id = ""

    def ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            self.service.check()
            return False

    def send(self, value: Any = 1, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post("/task", json={"name": "echo", "args": [value]}, headers=headers)

    def send_many(self, value: Any, count: int) -> httpx.Response:
        tasks = [{"name": "echo", "args": [value]}] * count
        return self.http.post("/tasks", json={"tasks": tasks})

    def requests(self) -> dict[str, Callable[[], httpx.Response]]:
        """What needs Redis, by name."""
        return {
            "send": self.send,
            "send with a key": lambda: self.send("keyed", "key"),
            "send many": lambda: self.send_many("many", 20),
            "read": lambda: self.http.get(f"/task/{self.task_id}"),
            "list": lambda: self.http.get("/tasks"),
            "ready": lambda: self.http.get("/readyz"),
        }

    def knock(self) -> dict[str, httpx.Response]:
        """All of these requests at once, and the answers."""
        with ThreadPoolExecutor(8) as pool:
            futures = {name: pool.submit(ask) for name, ask in self.requests().items()}
            return {name: future.result() for name, future in futures.items()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Durable]:
    yield from serving(Durable, tmp_path)


@pytest.fixture
def crew(make_crew: Callable[[Queue], Crew], server: Durable) -> Crew:
    return make_crew(server.queue)


@pytest.fixture
def door(server: Durable, tmp_path: Path) -> Iterator[Door]:
    """An API process that has answered; one task was sent, no worker runs."""
    door = Door(server, tmp_path)
    wait_for(door.ready)
    door.task_id = door.send().json()["task_id"]
    yield door
    door.http.close()
    door.service.ask_to_end()
    door.service.join()


def finished(crew: Crew) -> int:
    return crew.inspector.queue_info(crew.queue.name).finished


def noticed(crew: Crew, name: str) -> Callable[[], bool]:
    """Whether a worker says that Redis is away, after this moment."""
    before = crew.log(crew.workers[name]).count("WARNING")
    return lambda: crew.log(crew.workers[name]).count("WARNING") > before


def sound(crew: Crew, handles: list[TaskHandle]) -> None:
    """All are done, once, every second run is explained, and the queue is consistent."""

    def told(verb: str) -> Counter[str]:
        return Counter(m.task_id for event in events if event.verb == verb for m in event.tasks)

    events = crew.inspector.events(limit=10_000)
    again = {i: times - 1 for i, times in told("claim").items() if times > 1}
    assert again == dict(told("reclaim") + told("release"))
    assert told("complete") == Counter(handle.id for handle in handles)
    assert crew.inspector.check() == []


# -- workers ---------------------------------------------------------------------------------------


def test_r11_a_redis_that_stood_still_loses_nothing(server: Durable, crew: Crew) -> None:
    """It stood still longer than the sockets wait, and than every lease."""
    crew.hire("w1", "w2")
    handles = crew.queue.enqueue_many(quick, [(i,) for i in range(1500)])
    wait_for(lambda: finished(crew) > 100)
    away = [noticed(crew, "w1"), noticed(crew, "w2")]
    with server.standing_still():
        wait_for(lambda: all(has() for has in away))
    back_at = time.monotonic()
    late = crew.queue.enqueue(echo.options(priority="high"), "late")
    assert late.wait(timeout_s=8) == "late"
    assert time.monotonic() - back_at < 5
    assert [handle.wait(timeout_s=10) for handle in handles] == list(range(1500))
    sound(crew, [*handles, late])


def test_r11_a_redis_that_is_killed_again_and_again_loses_nothing(
    server: Durable, crew: Crew
) -> None:
    crew.hire("w1", "w2")
    handles = crew.queue.enqueue_many(quick, [(i,) for i in range(600)])
    for goal in (50, 150, 250):
        wait_for(lambda goal=goal: finished(crew) >= goal)  # type: ignore[misc]
        with server.killed():
            pass
    assert [handle.wait(timeout_s=10) for handle in handles] == list(range(600))
    sound(crew, handles)


@pytest.mark.parametrize(
    ("seconds", "sign"),
    [(2.5, "WARNING"), (0.6, "trying again")],  # the keeper's words, or the lane's: it has ended
    ids=["it ends after the outage", "it ends in the outage"],
)
def test_a_task_that_runs_in_the_outage_is_kept_while_its_lease_stands(
    server: Durable, crew: Crew, seconds: float, sign: str
) -> None:
    crew.hire("w1", lease_s=20)
    handle = crew.slow(seconds)
    with server.killed():
        wait_for(lambda: sign in crew.log(crew.workers["w1"]))
    assert handle.wait(timeout_s=8) == "attempt 1"
    assert crew.verbs(handle) == ["enqueue", "claim", "complete"]
    assert crew.inspector.check() == []


def test_a_task_whose_lease_ran_out_in_the_outage_is_run_again(server: Durable, crew: Crew) -> None:
    crew.hire("w1", "w2")
    handle = crew.slow(2.0)
    first = crew.at_work(handle)
    first.signal(signal.SIGSTOP)  # else it could be the first to come back, and keep its task
    with server.killed():
        pass
    assert handle.wait(timeout_s=8) == "attempt 2"
    first.signal(signal.SIGCONT)
    wait_for(lambda: "lost its lease" in crew.log(first))
    assert (handle.get().result, handle.get().worker == first.name) == ("attempt 2", False)
    sound(crew, [handle])


# -- the API ---------------------------------------------------------------------------------------


def count(server: Durable, value: str) -> int:
    """How many tasks wait with this argument, however many wait."""
    inspector, cursor, found = Inspector(server.queue), None, 0
    while True:
        page = inspector.tasks("queued", limit=500, cursor=cursor)
        found += sum(task.args == [value] for task in page.tasks)
        if (cursor := page.cursor) is None:
            return found


def refused(answers: dict[str, httpx.Response]) -> None:
    """All are 503, as a problem document that says when to try again."""
    for name, answer in answers.items():
        assert answer.status_code == 503, f"{name}: {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json", name
        assert answer.headers["retry-after"] == "1", name
        assert answer.json()["title"] == "Redis is away", name


def served(answers: dict[str, httpx.Response]) -> None:
    for name, answer in answers.items():
        assert answer.status_code in (200, 202), f"{name}: {answer.text}"


def alive(door: Door) -> bool:
    """The process answers at once."""
    began = time.monotonic()
    return door.http.get("/healthz").status_code == 200 and time.monotonic() - began < 1


def test_requests_get_503_while_redis_is_gone_and_are_served_when_it_is_back(
    server: Durable, door: Door
) -> None:
    served(door.knock())
    with server.killed():
        began = time.monotonic()
        refused(door.knock())
        assert time.monotonic() - began < 2  # refused connections cost no time
        assert alive(door)
    served(door.knock())
    assert door.http.get(f"/task/{door.task_id}").json()["args"] == [1]
    assert count(server, "keyed") == 1
    assert count(server, "many") == 2 * 20
    assert Inspector(server.queue).check() == []


def test_requests_get_503_while_redis_stands_still_and_nothing_is_half_done(
    server: Durable, door: Door
) -> None:
    with ThreadPoolExecutor(1) as pool, server.standing_still():
        began, answers = time.monotonic(), pool.submit(door.knock)
        wait_for(lambda: alive(door) and not answers.done())
        refused(answers.result())
        assert time.monotonic() - began < BOUND_S
    wait_for(server.answers)
    before = count(server, "many")
    assert before in (0, 20)
    served(door.knock())
    assert count(server, "keyed") == 1
    assert count(server, "many") == before + 20
    assert Inspector(server.queue).check() == []


@pytest.mark.parametrize("how", ["stands still", "is killed"])
def test_a_request_in_flight_is_done_or_not_and_its_key_makes_it_safe_to_repeat(
    server: Durable, door: Door, how: str
) -> None:
    """Requests come one after the other while it happens, so one of them is in flight."""
    answers: list[int] = []
    many: list[int] = []

    def send() -> None:
        while 503 not in answers:
            answers.append(door.send("kept", f"key-{len(answers)}").status_code)

    def send_many() -> None:
        while 503 not in many:
            many.append(door.send_many(f"bulk-{len(many)}", 50).status_code)

    senders = [threading.Thread(target=send), threading.Thread(target=send_many)]
    for sender in senders:
        sender.start()
    wait_for(lambda: min(len(answers), len(many)) >= 4)
    with server.killed() if how == "is killed" else server.standing_still():
        for sender in senders:
            sender.join()
    assert answers[-1] == many[-1] == 503
    again = [door.send("kept", f"key-{n}").status_code for n in range(len(answers))]
    assert again[:-1] == [200] * (len(answers) - 1)  # accepted is accepted
    assert again[-1] in (200, 202)
    assert count(server, "kept") == len(answers)
    sizes = [count(server, f"bulk-{n}") for n in range(len(many))]
    assert sizes[:-1] == [50] * (len(many) - 1)
    assert sizes[-1] in (0, 50)
    assert Inspector(server.queue).check() == []


def test_a_long_poll_outlives_a_redis_that_stands_still(
    server: Durable, door: Door, crew: Crew
) -> None:
    crew.hire("w1", lease_s=20)
    handle = crew.slow(1.0)
    away = noticed(crew, "w1")
    clients = server.queue.client.raw.client_list
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(door.http.get, f"/task/{handle.id}", params={"wait_s": 15})
        # it has read the task, and waits for events
        wait_for(lambda: {"hgetall", "xread"} <= {connection["cmd"] for connection in clients()})
        with server.standing_still():
            wait_for(away)
        back_at = time.monotonic()
        task = poll.result().json()
    assert (task["state"], task["result"]) == ("succeeded", "attempt 1")
    assert time.monotonic() - back_at < 5


def test_a_long_poll_whose_time_is_over_while_redis_stands_still_gets_503(
    server: Durable, door: Door
) -> None:
    path = f"/task/{door.task_id}"
    assert door.http.get(path, params={"wait_s": 0.1}).status_code == 200
    with server.standing_still():
        refused({"poll": door.http.get(path, params={"wait_s": 0.5})})
    assert door.http.get(path, params={"wait_s": 0.1}).status_code == 200
