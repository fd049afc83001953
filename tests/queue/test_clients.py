"""AsyncClient: a round trip that failed leaves nothing behind for the next one."""

from __future__ import annotations

import asyncio

import pytest

from miniqueue import redis_client
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, same
from miniqueue.protocol.operations import Protocol
from miniqueue.redis_client import Client, connect_async
from miniqueue.settings import Settings


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
