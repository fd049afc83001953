"""Upkeep: what every worker does for the whole queue, with its beat.

Due tasks are promoted, lost leases reclaimed, children of ended tasks told, forgotten ids dropped.
One call moves a bounded number; where it found as many there may be more, and it is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from miniqueue.protocol.calls import Call
from miniqueue.protocol.operations import AT_ONCE, FORGOTTEN_AT_ONCE, Protocol
from miniqueue.redis_client import Client

__all__ = ["catch_up", "upkeep"]

ROUNDS = 50  # of one beat, so that it stays short


def upkeep(protocol: Protocol) -> list[Call[bool]]:
    """The calls; each gives whether there may be more to do."""
    return [
        _in_steps(protocol.promote(), AT_ONCE),
        _in_steps(protocol.reclaim(), AT_ONCE),
        _in_steps(protocol.advance(), AT_ONCE),
        _in_steps(protocol.forget(), FORGOTTEN_AT_ONCE),
    ]


def catch_up(client: Client, protocol: Protocol, more: Sequence[bool]) -> None:
    """Go on with those of upkeep() that said so, until there is no more, or for ROUNDS rounds."""
    calls = upkeep(protocol)
    for _ in range(ROUNDS):
        calls = [call for call, again in zip(calls, more, strict=True) if again]
        if not calls:
            return
        more = client.run_many(calls)


def _in_steps(call: Call[int], most: int) -> Call[bool]:
    def parse(reply: Any) -> bool:
        return call.parse(reply) >= most

    return Call(call.name, call.keys, call.args, parse)
