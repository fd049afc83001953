"""The roster: what queues, workers and functions tell of themselves, in keys that all share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miniqueue.errors import ConfigError
from miniqueue.protocol.calls import Call, pairs
from miniqueue.protocol.keys import SharedKeys
from miniqueue.registry import Spec

__all__ = ["Roster"]

KNOWN_S = 7 * 86_400  # functions are forgotten so long after the last beat of any worker
GONE_S = 60  # a worker that has not beaten for so long is no longer listed


class Roster:
    """Plain commands, since these keys lie in other slots of a cluster than a queue's."""

    def __init__(self, namespace: str) -> None:
        self.keys = SharedKeys(namespace)

    def register(self, queue: str) -> Call[int]:
        """Put a queue's name among the known ones."""
        return Call("SADD", (self.keys.queues,), (queue,), int)

    def queues(self, queue: str) -> tuple[Call[bool], Call[int]]:
        """Whether a queue's name is among the known ones, and how many those are."""
        key = (self.keys.queues,)
        return Call("SISMEMBER", key, (queue,), bool), Call("SCARD", key, (), int)

    def spec(self, name: str) -> Call[Spec | None]:
        """What workers announced of a function that this process has not imported."""

        def parse(reply: Any) -> Spec | None:
            return None if reply is None else _spec(name, reply)

        return Call("HGET", (self.keys.functions,), (name,), parse)

    def specs(self) -> Call[dict[str, Spec]]:
        """All announced functions."""

        def parse(reply: Any) -> dict[str, Spec]:
            found = {name: _spec(name, text) for name, text in sorted(pairs(reply).items())}
            return {name: spec for name, spec in found.items() if spec is not None}

        return Call("HGETALL", (self.keys.functions,), (), parse)

    def announce(self, specs: Mapping[str, Spec]) -> list[Call[Any]]:
        """Tell clients which functions a worker runs."""
        words = [word for name, spec in specs.items() for word in (name, spec.to_json())]
        if not words:
            return []
        key = (self.keys.functions,)
        return [Call("HSET", key, words, int), Call("EXPIRE", key, (KNOWN_S,), int)]

    def beat(
        self, worker: str, now_ms: int, about: Mapping[str, str | int | float]
    ) -> list[Call[Any]]:
        """A worker's sign of life; announced functions live as long as any worker beats.

        The first reply is 0, or more where Redis did not know this worker (any more).
        """
        key = self.keys.worker(worker)
        words = [word for pair in about.items() for word in pair]
        return [
            Call("HSET", (key,), (*words, "beat_ms", now_ms), int),
            Call("ZADD", (self.keys.workers,), (now_ms, worker), int),
            Call("EXPIRE", (key,), (GONE_S,), int),
            Call("EXPIRE", (self.keys.functions,), (KNOWN_S,), int),
            Call("ZREMRANGEBYSCORE", (self.keys.workers,), ("-inf", now_ms - 1000 * GONE_S), int),
        ]

    def leave(self, worker: str) -> list[Call[Any]]:
        """A worker that stops is no longer listed."""
        return [
            Call("ZREM", (self.keys.workers,), (worker,), int),
            Call("DEL", (self.keys.worker(worker),), (), int),
        ]


def _spec(name: str, text: str) -> Spec | None:
    """None for what no worker can have announced: a foreign hand."""
    try:
        return Spec.from_json(name, text)
    except (AttributeError, ConfigError, KeyError, TypeError, ValueError, RecursionError):
        return None
