"""The clients: a round trip that failed leaves nothing behind for the next one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

import pytest

from miniqueue import redis_client
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, same
from miniqueue.protocol.operations import Protocol
from miniqueue.redis_client import Client, connect, connect_async
from miniqueue.settings import Settings

KEPT = Call("GET", ("kept",), (), same)


@pytest.fixture
def other(settings: Settings, client: Client) -> Iterator[Client]:
    """A client with a connection that has been used; a reply may take 0.05 s."""
    client.raw.set("kept", "1")
    other = connect(settings)
    other.raw.connection_pool.connection_kwargs["socket_timeout"] = 0.05
    assert other.run(KEPT) == "1"
    yield other
    other.close()


def test_one_thread_needs_one_connection(settings: Settings, client: Client, other: Client) -> None:
    before = client.raw.info("stats")["total_connections_received"]
    for _ in range(10):
        assert other.run_many([KEPT, KEPT]) == ["1", "1"]
        assert other.run(KEPT) == "1"
    assert client.raw.info("stats")["total_connections_received"] == before


def test_a_late_reply_is_not_taken_for_the_next_one(client: Client, other: Client) -> None:
    late = Call("BLPOP", ("nothing-comes-here",), (0.3,), same)
    with pytest.raises(BackendUnavailable):
        other.run(late)
    assert other.run(KEPT) == "1"


def test_an_idle_connection_that_redis_closed_is_replaced_before_it_is_used(
    client: Client, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "FRESH_S", 0.0)
    client.raw.client_kill_filter(_type="normal", skipme=True)
    assert other.run(KEPT) == "1"
    client.raw.client_kill_filter(_type="normal", skipme=True)
    assert other.run_many([KEPT]) == ["1"]


def test_a_connection_closed_in_the_moment_of_its_use_is_told_and_replaced(
    client: Client, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "FRESH_S", 60.0)
    client.raw.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(BackendUnavailable):
        other.run(KEPT)
    assert other.run(KEPT) == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_after_a_fork_parent_and_child_have_connections_of_their_own(
    client: Client, other: Client
) -> None:
    number = Call("CLIENT", (), ("ID",), same)
    parent = other.run(number)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # whatever happens, the child must not go on with the tests
        try:
            os.write(writing, str(other.run(number)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert int(answer.read()) != parent
    os.waitpid(child, 0)
    assert other.run(number) == parent


def test_a_reply_that_came_too_late_is_not_taken_for_the_next_one(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Call("BLPOP", ("nothing-comes-here",), (0.3,), same)
    client.raw.set("kept", "1")

    async def main() -> None:
        async_client = connect_async(settings)
        monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_S", 0.05)
        with pytest.raises(BackendUnavailable, match=r"no answer in 0\.05 s"):
            await async_client.run(late)
        monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_S", 5.0)
        assert await async_client.run(Call("GET", ("kept",), (), same)) == "1"
        await async_client.close()

    asyncio.run(main())


def test_a_script_that_is_sent_again_with_its_text_is_waited_for_no_longer(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_S", 0.05)
    client.raw.script_flush()

    async def main() -> None:
        async_client = connect_async(settings)

        async def stands_still(*words: object) -> None:
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(async_client.raw, "execute_command", stands_still)
        with pytest.raises(BackendUnavailable, match=r"no answer in 0\.05 s"):
            await async_client.run(Protocol(settings, settings.queue).promote())
        await async_client.close()

    asyncio.run(main())
