"""Clients for explored code: each command is a step that the scheduler may put off.

VirtualRedis is a redis.Redis (commands, pipelines with and without MULTI, WATCH, scripts, blocking
pops, and the locks of redis-py); VirtualClient is the Client of miniqueue.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import fakeredis

from miniqueue.classroom.explorer.process import Actor, Request
from miniqueue.classroom.explorer.store import Words, as_bytes
from miniqueue.classroom.explorer.telling import label
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, T
from miniqueue.redis_client import AWAY, Client, Sent

__all__ = ["VirtualClient", "VirtualRedis"]

TIMEOUT_AT = {  # blocking commands, and which of their words is the timeout in seconds
    "BLPOP": -1, "BRPOP": -1, "BZPOPMIN": -1, "BZPOPMAX": -1, "BRPOPLPUSH": -1, "BLMOVE": -1,
    "BLMPOP": 1, "BZMPOP": 1,
}  # fmt: skip
NO_STEP = {"SCRIPT LOAD", "SCRIPT EXISTS", "SCRIPT", "PING", "CLIENT", "HELLO", "SELECT", "UNWATCH"}
Pipeline: Any = type(fakeredis.FakeRedis(server=fakeredis.FakeServer()).pipeline())
WatchError: Any = sys.modules[Pipeline.__module__].WatchError


def request(actor: Actor, words: Words) -> Request:
    """The request for a command, which may be one that blocks."""
    name = str(words[0]).upper()
    timeout_ms: float | None = None
    if name in TIMEOUT_AT:
        timeout_ms = float(words[TIMEOUT_AT[name]]) * 1000
    elif name in ("XREAD", "XREADGROUP"):
        upper = [str(word).upper() for word in words]
        if "BLOCK" in upper:
            timeout_ms = float(words[upper.index("BLOCK") + 1])
    if timeout_ms is None:
        return Request("call", words, label=label(words))
    until = actor.now_ms + int(timeout_ms) if timeout_ms else None
    return Request("call", words, until, blocks=True, label=label(words))


class VirtualRedis(fakeredis.FakeRedis):  # type: ignore[misc, unused-ignore]
    """Looks like redis.Redis(decode_responses=True); each command goes through `ask`."""

    def __init__(self, actor: Actor, load: Callable[[str], object]) -> None:
        server = fakeredis.FakeServer(version=(7,))  # never spoken to
        super().__init__(server=server, decode_responses=True, protocol=2)
        self.actor = actor
        self.load = load  # a script, into the store

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command: one step."""
        return self.read(args, options, self.step(args))

    def step(self, args: Sequence[Any]) -> Any:
        """The plain reply."""
        name = str(args[0]).upper()
        if name in NO_STEP:
            return self._at_once(name, args)
        if name in ("SUBSCRIBE", "PSUBSCRIBE", "MULTI", "EXEC"):
            raise NotImplementedError(f"{name} as a command cannot be explored")
        return self.actor.ask(request(self.actor, _sent(args)))

    def read(self, args: Sequence[Any], options: dict[str, Any], reply: Any) -> Any:
        """The reply as redis-py gives it."""
        options = {k: v for k, v in options.items() if k not in ("keys", "NEVER_DECODE")}
        name = args[0]
        if name in self.response_callbacks and name not in ("SCRIPT LOAD", "SCRIPT EXISTS"):
            return self.response_callbacks[name](reply, **options)
        return reply

    def _at_once(self, name: str, args: Sequence[Any]) -> Any:
        """Commands that touch no key: scripts are known from then on, the rest does nothing."""
        if name == "SCRIPT LOAD":
            self.load(args[1])
            return hashlib.sha1(as_bytes(args[1]), usedforsecurity=False).hexdigest()
        if name == "SCRIPT EXISTS":
            return [True] * (len(args) - 1)
        return "PONG" if name == "PING" else "OK"

    def register_script(self, script: Any) -> Any:
        """A script object; Redis knows the script already."""
        self.load(script)
        return super().register_script(script)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Commands that travel together: with MULTI one step, without it a step each."""
        return VirtualPipeline(self, transaction)

    def pubsub(self, **kwargs: Any) -> Any:
        """Cannot be explored."""
        raise NotImplementedError("pub/sub cannot be explored")


class VirtualPipeline(Pipeline):  # type: ignore[misc]
    """A pipeline of a VirtualRedis."""

    watching: bool

    def __init__(self, client: VirtualRedis, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """While it watches: at once."""
        if str(args[0]).upper() != "WATCH":
            return self._client.execute_command(*args, **options)
        words = ("WATCH", self._who, "more" if self.watching else "new", *_sent(args)[1:])
        self.watching = True
        self._client.actor.ask(Request("call", words, label=label(_sent(args))))
        return True

    @property
    def _who(self) -> str:
        """Who watches: a connection of its own in Redis."""
        return f"\0{self._client.actor.name}"

    def load_scripts(self) -> None:
        for script in self.scripts:
            self._client.load(script.script)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send it. Raises WatchError, and the first error of a command."""
        stack, who = self.command_stack, self._who if self.watching else ""
        atomic = self.transaction or self.explicit_transaction
        self.load_scripts()
        self.reset()
        if not stack:
            return []
        replies = self._atomically(stack, who) if atomic else self._one_by_one(stack)
        if raise_on_error:
            self.raise_first_error([args for args, _ in stack], replies)
        read = self._client.read
        return [
            reply if isinstance(reply, Exception) else read(args, options, reply)
            for (args, options), reply in zip(stack, replies, strict=True)
        ]

    def _atomically(self, stack: Sequence[Any], who: str) -> list[Any]:
        commands = tuple(_sent(args) for args, _ in stack)
        text = "MULTI " + "; ".join(label(words) for words in commands)
        asked = Request("call", ("EXEC", who, commands), label=text)
        replies: list[Any] | None = self._client.actor.ask(asked)
        if replies is None:
            raise WatchError("Watched variable changed.")
        return list(replies)

    def _one_by_one(self, stack: Sequence[Any]) -> list[Any]:
        replies: list[Any] = []
        for args, _ in stack:
            try:
                replies.append(self._client.step(args))
            except AWAY as error:
                replies.append(error)
        return replies

    def raise_first_error(self, commands: Any, response: Any) -> None:
        for reply in response:
            if isinstance(reply, Exception):
                raise reply

    def reset(self) -> None:
        self.command_stack: list[Any] = []
        self.scripts: set[Any] = set()
        self.watching = self.explicit_transaction = False


class VirtualClient(Client):
    """Carries out Calls one step each, those of a run_many too: they may be cut apart by a crash.

    `quiet(call)` gives the reply of a call that is no step, or None; `told(call, reply)` sees each
    other reply.
    """

    def __init__(
        self,
        actor: Actor,
        quiet: Callable[[Call[Any]], Any] = lambda call: None,
        told: Callable[[Call[Any], Any], object] = lambda call, reply: None,
    ) -> None:
        super().__init__(None)
        self._actor = actor
        self._quiet = quiet
        self._told = told

    def run(self, call: Call[T]) -> T:
        """One step."""
        return call.parse(self._step(call))

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        """A step each; the replies are read when all are there, as a pipeline does."""
        replies = [self._step(call) for call in calls]
        return Sent(lambda: [c.parse(reply) for c, reply in zip(calls, replies, strict=True)])

    def _step(self, call: Call[Any]) -> Any:
        reply = self._quiet(call)
        if reply is None:
            asked = request(self._actor, _sent(call.command))
            try:
                reply = self._actor.ask(asked._replace(label=label(call)))
            except AWAY as error:
                raise BackendUnavailable(str(error)) from None
            self._told(call, reply)
        return reply


def _sent(args: Sequence[Any]) -> Words:
    """The words as they travel: a command name may be two of them."""
    first, *rest = args
    words = [*str(first).split(), *rest]
    return tuple(word if isinstance(word, bytes) else _text(word) for word in words)


def _text(word: Any) -> str:
    return repr(word) if isinstance(word, float) else str(word)
