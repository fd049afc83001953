"""Dial: makes redis-py's client for an Address; nothing is connected yet.

It never retries by itself. Where Sentinel knows which Redis is the primary, it is asked at each new
connection: after a failover the next connection leads to the new one.
"""

from __future__ import annotations

import importlib
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from miniqueue.address import Address

__all__ = ["SOCKET_TIMEOUT_S", "dial", "dial_async", "sentinels"]

SOCKET_TIMEOUT_S = 5.0
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
    manager = getattr(raw.connection_pool, "sentinel_manager", None)
    return getattr(manager, "sentinels", [])


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
