"""Joiner: what several coroutines enqueue in one turn of the event loop travels as one script call.

A call is all or nothing, and nobody shall pay for a neighbour: where Redis refuses a joint call (a
queue that is full, a key that is taken) nothing was written, and each part is sent again alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from miniqueue.errors import BackendUnavailable, MiniQueueError
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.redis_client import AsyncClient

__all__ = ["Joiner"]

Part = tuple[Sequence[Submission], "asyncio.Future[list[str]]"]


class Joiner:
    """Enqueues on the queue of one Protocol; `most` tasks go in one call."""

    def __init__(self, client: AsyncClient, protocol: Protocol, most: int) -> None:
        self._client = client
        self._protocol = protocol
        self._most = most
        self._parts: list[Part] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def enqueue(self, sent: Sequence[Submission]) -> list[str]:
        """Accept all of `sent` or none; gives the ids. Raises as Protocol.enqueue()."""
        loop = asyncio.get_running_loop()
        if not self._parts:
            loop.call_soon(self._flush)
        part: Part = (sent, loop.create_future())
        self._parts.append(part)
        return await part[1]

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        while parts:
            count, size = 1, len(parts[0][0])
            while count < len(parts) and size + len(parts[count][0]) <= self._most:
                size += len(parts[count][0])
                count += 1
            sending = asyncio.get_running_loop().create_task(self._send(parts[:count]))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
            parts = parts[count:]

    async def _send(self, parts: Sequence[Part]) -> None:
        joint = [submission for sent, _ in parts for submission in sent]
        try:
            ids = await self._client.run(self._protocol.enqueue(joint))
        except BaseException as error:
            alone = isinstance(error, MiniQueueError) and not isinstance(error, BackendUnavailable)
            if alone and len(parts) > 1:
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
