"""A Call is what h11 is to HTTP: a description of one round trip that does no I/O.

The synchronous client, the asynchronous client, a test or the explorer carries it out. Names in
lower case are our scripts (lua/NAME.lua), names in upper case are plain Redis commands. Replies are
strings (the clients decode them).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Sent", "entries", "pairs", "redis_time", "same", "script", "scripts", "sha"]

T = TypeVar("T")
_LUA = Path(__file__).parent / "lua"


@dataclass(slots=True)
class Call(Generic[T]):
    """One round trip to Redis: `name`, the keys, the arguments, and how to read the reply.

    Nobody changes one; frozen, it would take a twenty-fifth of a sender's time to make.
    """

    name: str
    keys: Sequence[str]
    args: Sequence[str | int | float]
    parse: Callable[[Any], T]

    @property
    def command(self) -> tuple[str | int | float, ...]:
        """The words to send."""
        if self.name.isupper():
            return (self.name, *self.keys, *self.args)
        return ("EVALSHA", sha(self.name), len(self.keys), *self.keys, *self.args)


@dataclass(frozen=True, slots=True)
class Sent:
    """Calls on their way. `replies()` waits for what run_many() gives; call it once."""

    replies: Callable[[], list[Any]]


@functools.cache
def script(name: str) -> str:
    """The Lua text of an operation."""
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


def scripts() -> list[str]:
    """The names of all scripts."""
    return sorted(file.stem for file in _LUA.glob("*.lua"))


@functools.cache
def sha(name: str) -> str:
    """The name under which Redis knows a script: the SHA-1 of its text."""
    return hashlib.sha1(script(name).encode(), usedforsecurity=False).hexdigest()


def redis_time() -> Call[int]:
    """Redis' clock in ms, the only one that counts (R5)."""
    return Call("TIME", (), (), lambda reply: int(reply[0]) * 1000 + int(reply[1]) // 1000)


def same(reply: Any) -> Any:
    """The parse of a call whose reply is what one wants."""
    return reply


def entries(reply: Any) -> list[tuple[str, Mapping[str, str]]]:
    """The entries (id, fields) in a reply of XREAD on one stream."""
    if not reply:
        return []
    streams = reply.items() if isinstance(reply, Mapping) else reply
    return [(entry, pairs(fields)) for _, found in streams for entry, fields in found]


def pairs(reply: Any) -> Mapping[str, str]:
    """A hash as Redis replies it: a mapping, or a flat list from inside a pipeline."""
    if isinstance(reply, Mapping):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
