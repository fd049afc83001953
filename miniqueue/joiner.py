"""Joiner: what coroutines enqueue in one turn of the event loop travels as one script call.

While that call is on its way others gather, and go together in the next one.

A call is all or nothing, and nobody shall pay for a neighbour: where Redis refuses a joint call (a
queue that is full, a key that is taken) nothing was written, and each part is sent again alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from miniqueue.errors import BackendUnavailable, MiniQueueError
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.redis_client import AsyncClient

__all__ = ["Joiner"]

Part = tuple[Sequence[Submission], "asyncio.Future[list[str]]"]


class Joiner:
    """Enqueues on the queue of one Protocol; `most` tasks go in one call, one call at a time."""

    def __init__(self, client: AsyncClient, protocol: Protocol, most: int) -> None:
        self._client = client
        self._protocol = protocol
        self._most = most
        self._parts: deque[Part] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def enqueue(self, sent: Sequence[Submission]) -> list[str]:
        """Accept all of `sent` or none; gives the ids. Raises as Protocol.enqueue()."""
        part: Part = (sent, asyncio.get_running_loop().create_future())
        self._parts.append(part)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await part[1]

    async def _send_all(self) -> None:
        parts: list[Part] = []
        try:
            while self._parts:
                parts = self._next()
                await self._send(parts)
        except BaseException as error:  # Redis is away, for those who wait behind them, too
            _refuse([*parts, *self._parts], error)
            self._parts.clear()
        finally:
            self._sending = None

    def _next(self) -> list[Part]:
        parts = [self._parts.popleft()]
        size = len(parts[0][0])
        while self._parts and (size := size + len(self._parts[0][0])) <= self._most:
            parts.append(self._parts.popleft())
        return parts

    async def _send(self, parts: Sequence[Part]) -> None:
        joint = [submission for sent, _ in parts for submission in sent]
        try:
            ids = await self._client.run(self._protocol.enqueue(joint))
        except BackendUnavailable:
            raise
        except MiniQueueError as error:
            if len(parts) > 1:
                await asyncio.gather(*(self._send([part]) for part in parts))
            else:
                _refuse(parts, error)
            return
        for sent, told in parts:
            if not told.done():  # its coroutine may be cancelled
                told.set_result(ids[: len(sent)])
            ids = ids[len(sent) :]


def _refuse(parts: Sequence[Part], error: BaseException) -> None:
    for _, told in parts:
        if not told.done():
            told.set_exception(error)
