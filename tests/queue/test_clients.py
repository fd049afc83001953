"""AsyncClient: a round trip that failed leaves nothing behind for the next one."""

from __future__ import annotations

import asyncio

import pytest

from miniqueue import redis_client
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, same
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
