"""Dial: makes redis-py's client for an Address; nothing is connected yet.

It never retries by itself. Where Sentinel knows which Redis is the primary, it is asked at each new
connection, and once a second by whoever sends: a primary that was replaced and is alive takes what
nobody will ever find, until Sentinel makes a replica of it, some ten seconds later.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from miniqueue.address import Address

__all__ = ["SOCKET_TIMEOUT_S", "Primary", "dial", "dial_async", "primary", "sentinels"]

SOCKET_TIMEOUT_S = 5.0
LOOK_S = 1.0
SENTINEL_S = 0.5  # a Sentinel that does not answer by then is passed over


def dial(address: Address) -> Any:
    """A `redis.Redis`."""
    return _client(redis, address, Retry(NoBackoff(), 0), SOCKET_TIMEOUT_S)


def dial_async(address: Address) -> Any:
    """A `redis.asyncio.Redis`.

    Its own time-out takes 25 us a send: here the caller's spans the whole round trip.
    """
    return _client(redis.asyncio, address, redis.asyncio.retry.Retry(NoBackoff(), 0), None)


def sentinels(raw: Any) -> list[Any]:
    """The clients with which Sentinels are asked; they have connections of their own."""
    pool = getattr(raw, "connection_pool", None)
    manager = getattr(pool, "sentinel_manager", None)
    return getattr(manager, "sentinels", [])


class Primary:
    """Where the primary is, as Sentinel said within the last second."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._next = 0.0
        self._address: tuple[str, int] | None = None

    def has(self, connection: Any) -> bool:
        """Whether a connection leads there; where Sentinel cannot say, nothing has changed."""
        if time.monotonic() >= self._next:
            with contextlib.suppress(redis.RedisError):
                self._address = self._pool.get_master_address()
            self._next = time.monotonic() + LOOK_S
        return self._address in (None, (connection.host, connection.port))

    async def look(self) -> None:
        """The asynchronous twin: idle connections that lead elsewhere are closed."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_S
            with contextlib.suppress(redis.RedisError):
                await self._pool.get_master_address()


def primary(raw: Any) -> Primary | None:
    """What a client of dial() or dial_async() must ask before it uses a connection again."""
    return Primary(raw.connection_pool) if sentinels(raw) else None


def _client(module: Any, address: Address, retry: Any, socket_timeout: float | None) -> Any:
    options: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",
        "protocol": 2,
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": 2.0,
        "retry": retry,
        **address.options,
    }
    if address.kind == "sentinel":
        return _primary(module, address, options)
    if not address.places:  # a socket of this machine
        return module.Redis(**options)
    return module.Redis(host=address.places[0].host, port=address.places[0].port, **options)


def _primary(module: Any, address: Address, options: dict[str, Any]) -> Any:
    sentinel = importlib.import_module(f"{module.__name__}.sentinel")  # few need it
    asking = {name: value for name, value in options.items() if name.startswith("ssl")}
    asking |= {"retry": options["retry"], **address.sentinel}
    asking |= {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S}
    places = [(place.host, place.port) for place in address.places]
    return sentinel.Sentinel(places, sentinel_kwargs=asking, **options).master_for(address.service)
