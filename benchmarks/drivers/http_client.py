"""The client of http_api.py: HTTP/1.1 by hand, so that it costs less than any server it measures.

It writes requests that were made before and reads no more of a reply than its status, its length
and where it ends: 30 to 50 us of CPU a request. No pipelining, no chunked replies.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import cast

__all__ = ["Refused", "load"]

PATIENCE_S = 30.0  # for the replies that are outstanding when the time is up
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Refused(Exception):
    """A server gave another answer than it should; the message begins with its status line."""


class Connection(asyncio.Protocol):
    """A keep-alive connection: sends a request, reads the reply, sends it again, until `end`."""

    def __init__(self, request: bytes, status: int) -> None:
        self.ms: list[float] = []
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._expected = b"HTTP/1.1 %d " % status
        self._end = self._sent = 0.0
        self._received = bytearray()
        self._transport: asyncio.WriteTransport

    def begin(self, end: float) -> None:
        self._end = end
        self._send()

    def close(self) -> None:
        self.ended.cancel()
        self._transport.close()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server hung up")

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        if not self._received.startswith(self._expected):
            self._fail(self._received[:300].decode(errors="replace"))
        length = LENGTH.search(self._received, 0, head)
        if length is None:
            self._fail("a reply without Content-Length")
        elif len(self._received) >= head + 4 + int(length[1]):
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        self.ms.append((now - self._sent) * 1000)
        self._received.clear()
        if now < self._end and not self.ended.done():
            self._send()
        elif not self.ended.done():
            self.ended.set_result(now)

    def _fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(Refused(why))


async def connect(port: int, request: bytes, status: int) -> Connection:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection(request, status), "127.0.0.1", port)
    return made


async def load(
    port: int, requests: Sequence[bytes], status: int, seconds: float
) -> tuple[float, list[float]]:
    """A connection for each request, as long as that; gives the seconds it took, and all ms."""
    connections = [await connect(port, request, status) for request in requests]
    begun = time.perf_counter()
    for one in connections:
        one.begin(begun + seconds)
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            ends = await asyncio.gather(*(one.ended for one in connections))
    finally:
        for one in connections:
            one.close()
    return max(ends) - begun, [ms for one in connections for ms in one.ms]
