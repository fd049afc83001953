"""Redis is killed and comes back on the same port, empty (R11)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from miniqueue.classroom.service import Service, free_port, redis_command, server_binary
from miniqueue.errors import BackendUnavailable, UnknownFunction
from miniqueue.functions import echo
from miniqueue.queue import Queue
from miniqueue.registry import Registry
from miniqueue.settings import Settings
from tests.crash.conftest import LEASE_S, Crew
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(25)]


class Server:
    """A Redis on a port of its own, which can be killed and started again."""

    options: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.queue = Queue(settings=Settings(redis_url=self.url, lease_s=LEASE_S))
        self._folder = folder
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = redis_command(self.port, self._folder, options=self.options)
        self.service = Service("redis", command, log=self._folder / "redis.log")
        wait_for(self.answers)

    def answers(self) -> bool:
        try:
            return self.queue.client.run(self.queue.protocol.roster.register(self.queue.name)) >= 0
        except BackendUnavailable:
            return False

    def kill(self) -> None:
        """SIGKILL; it keeps nothing."""
        self.service.kill()
        self.service.ask_to_end()
        self.service.join()


S = TypeVar("S", bound=Server)


def serving(kind: type[S], folder: Path) -> Iterator[S]:
    """A server while the generator is open."""
    if server_binary() is None:
        pytest.skip("no Redis or Valkey server")
    server = kind(folder)
    yield server
    server.kill()
    server.queue.client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield from serving(Server, tmp_path)


@pytest.fixture
def crew(make_crew: Callable[[Queue], Crew], server: Server) -> Crew:
    """A crew on the server that will be killed, with one worker."""
    crew = make_crew(server.queue)
    crew.hire("w1")
    return crew


def restart(server: Server, crew: Crew) -> float:
    """Kill Redis, let the worker notice, start it again; gives the time since then."""
    server.kill()
    wait_for(lambda: "WARNING" in crew.log(crew.workers["w1"]))
    server.start()
    return time.monotonic()


def test_r11_a_worker_consumes_again_within_5_s(server: Server, crew: Crew) -> None:
    assert crew.queue.enqueue(echo, 1).wait(timeout_s=5) == 1
    back_at = restart(server, crew)
    assert crew.queue.enqueue(echo, 2).wait(timeout_s=8) == 2
    assert time.monotonic() - back_at < 5
    assert crew.workers["w1"].running
    wait_for(lambda: [w.id for w in crew.inspector.workers()] == ["w1"], 5)


def test_r11_a_worker_announces_its_functions_again(server: Server, crew: Crew) -> None:
    """Else a client that has not imported them could call nothing until a worker starts."""
    stranger = Queue(settings=server.queue.settings, registry=Registry())
    assert stranger.enqueue("echo", 1).wait(timeout_s=5) == 1
    restart(server, crew)

    def known() -> bool:
        try:
            return bool(stranger.enqueue("echo", 2))
        except UnknownFunction:
            return False

    try:
        wait_for(known, 5)
    finally:
        stranger.client.close()


def test_r11_a_result_that_was_ready_in_the_outage_does_no_harm(server: Server, crew: Crew) -> None:
    crew.slow(0.7)
    restart(server, crew)
    assert crew.queue.enqueue(echo, 2).wait(timeout_s=5) == 2
    assert crew.inspector.check() == []


def test_a_client_says_that_redis_is_away(server: Server) -> None:
    server.kill()
    with pytest.raises(BackendUnavailable):
        server.queue.enqueue(echo, 1)
