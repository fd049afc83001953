"""Outages: how often an API process found Redis away, added to what Redis keeps when it is back."""

from __future__ import annotations

import asyncio
import contextlib

from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.operations import Protocol
from miniqueue.redis_client import AsyncClient

__all__ = ["Outages"]

AGAIN_S = 1.0  # between two tries to tell


class Outages:
    """note() each; a coroutine then tries until it has told them."""

    def __init__(self, client: AsyncClient, protocol: Protocol) -> None:
        self._client = client
        self._protocol = protocol
        self.untold = 0
        self._telling: asyncio.Task[None] | None = None

    def note(self) -> None:
        """A request has failed for want of Redis. Call it in the event loop."""
        self.untold += 1
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self.untold:
            await asyncio.sleep(AGAIN_S)
            count = self.untold
            with contextlib.suppress(BackendUnavailable):
                await self._client.run(self._protocol.count([("redis_errors", "api", count)]))
                self.untold -= count

    async def close(self) -> None:
        """What is not told by now is lost."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
