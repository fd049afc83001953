"""What talks to Redis: it carries out Calls, synchronously or asynchronously.

One Call serves both clients, since it holds the words to send and the function that reads the
reply. A script that Redis does not know (it was restarted, or a replica took over) is sent again
with its text. Any other error of Redis, from "connection refused" to "out of memory", becomes
BackendUnavailable; nothing is retried here, because only the caller knows whether sending twice is
safe. Where Sentinel or a cluster says which Redis it is, dial.py and cluster.py ask them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import redis

from miniqueue.address import Place, parse
from miniqueue.advice import advise
from miniqueue.cluster import AsyncClusterClient, ClusterClient, Moved
from miniqueue.dial import SOCKET_TIMEOUT_S, dial, dial_async, primary, sentinels
from miniqueue.errors import BackendUnavailable, MiniQueueError
from miniqueue.protocol.calls import Call, Sent, script
from miniqueue.protocol.keys import QueueKeys
from miniqueue.settings import Settings

try:
    from hiredis import pack_command as _pack_command
except ImportError:  # comes with the extra `api`
    PACK: Any = None
else:
    PACK = _pack_command

__all__ = ["AsyncClient", "Client", "Sent", "SOCKET_TIMEOUT_S", "connect", "connect_async"]

T = TypeVar("T")
Words = Sequence[str | int | float]  # a command
FRESH_S = 0.01  # too short for a Redis to end and come back; an idler connection is asked after
BLOCK_S = 4.0  # a blocking command must answer before the socket gives up

AWAY = redis.exceptions.RedisError  # away, full, read-only, loading: all mean "not now"
AWAY_OR_LATE = (AWAY, TimeoutError)


def connect(settings: Settings) -> Client:
    """A synchronous client; it connects at the first call. Raises ConfigError for a bad URL."""
    address = parse(settings.redis_url)
    if address.kind != "cluster":
        return Client(dial(address))
    home = QueueKeys(settings.namespace, settings.queue).prefix
    nodes = ClusterClient(lambda place: Client(dial(address.at(place))), address.places, home)
    return cast("Client", nodes)


def connect_async(settings: Settings) -> AsyncClient:
    """The asynchronous twin of connect()."""
    address = parse(settings.redis_url)
    if address.kind != "cluster":
        return AsyncClient(dial_async(address))
    home = QueueKeys(settings.namespace, settings.queue).prefix
    nodes = AsyncClusterClient(
        lambda place: AsyncClient(dial_async(address.at(place))), address.places, home
    )
    return cast("AsyncClient", nodes)


class Client:
    """Carries out Calls on a `redis.Redis` (or fakeredis) that decodes its responses."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._loaded: set[str] = set()
        self._connections = _Connections(raw)

    def run(self, call: Call[T]) -> T:
        """One round trip. Raises BackendUnavailable, and whatever the call's parse raises."""
        reply = self._ask(call.command)
        if _unknown(reply):
            reply = self._ask(_with_text(call))
        return call.parse(_raise(reply))

    def run_many(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Several calls in one round trip, in order; not a transaction.

        After a restart of Redis, calls whose script it has forgotten run after the others, once.
        """
        return self.send(calls).replies()

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        """The first half of run_many(): send, and read the replies when they are needed.

        Raises BackendUnavailable. The replies must be read, by whatever thread.
        """
        commands = [*_loads(calls, self._loaded), *[call.command for call in calls]]
        connection = self._post(commands)
        return Sent(lambda: self._parsed(calls, self._replies(connection, len(commands))))

    def send_each(self, calls: Sequence[Call[Any]]) -> Sent:
        """As send(), but a call that fails has its error for a reply, and the others theirs."""
        commands = [*_loads(calls, self._loaded), *[call.command for call in calls]]
        connection = self._post(commands)

        def replies() -> list[Any]:
            found = self._replies(connection, len(commands))[-len(calls) :]
            return [self._outcome(*pair) for pair in zip(calls, found, strict=True)]

        return Sent(replies)

    def _parsed(self, calls: Sequence[Call[Any]], replies: list[Any]) -> list[Any]:
        found = replies[-len(calls) :]  # those of SCRIPT LOAD come first
        return [self._read(*pair) for pair in zip(calls, found, strict=True)]

    def _read(self, call: Call[Any], reply: Any) -> Any:
        return self.run(call) if _unknown(reply) else call.parse(_raise(reply))

    def _outcome(self, call: Call[Any], reply: Any) -> Any:
        try:
            return self._read(call, reply)
        except MiniQueueError as error:
            return error

    def _ask(self, words: Words) -> Any:
        return self._replies(self._post([words]), 1)[0]

    def _post(self, commands: Sequence[Words]) -> Any:
        """Send commands; gives the connection on which their replies come."""
        try:
            connection = self._connections.take()
        except AWAY as error:
            raise _away(error) from None
        try:
            connection.send_packed_command(_packed(connection, commands))
        except BaseException as error:
            self._connections.close(connection)
            _raise(error)
        return connection

    def _replies(self, connection: Any, count: int) -> list[Any]:
        """The next replies; what Redis refused is one too, as an exception."""
        replies: list[Any] = []
        try:
            while len(replies) < count:
                try:
                    replies.append(connection.read_response())
                except redis.exceptions.ResponseError as error:
                    replies.append(error)
        except BaseException as error:
            self._connections.close(connection)
            _raise(error)
        self._connections.give(connection)
        return replies

    def nodes(self) -> list[Any]:
        """What redis-py knows of each Redis that holds a part: here one."""
        return [self.raw]

    def close(self) -> None:
        self.raw.close()
        for sentinel in sentinels(self.raw):
            sentinel.close()


class _Connections:
    """What waits for the next round trip: as many connections as ever were busy at once.

    They are lent by redis-py's pool once, and kept: with its locks, counters and events a loan
    takes 20 us of the 150 of an enqueue (benchmarks/enqueue.py). One that was used a moment ago is
    taken as it is; to ask after it takes another 7.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._primary = primary(raw)
        self._kept: list[tuple[Any, float]] = []  # with the time when each came back
        self._pid = os.getpid()

    def take(self) -> Any:
        """A connection on which nothing is under way."""
        if self._pid != os.getpid():  # after a fork the sockets belong to the parent
            self._kept, self._pid = [], os.getpid()
        try:
            connection, since = self._kept.pop()  # atomic, as append() is
        except IndexError:
            return self._raw.connection_pool.get_connection()
        fresh = time.monotonic() - since < FRESH_S or _at_rest(connection)
        if fresh and (self._primary is None or self._primary.has(connection)):
            return connection
        self.close(connection)
        return self.take()

    def give(self, connection: Any) -> None:
        self._kept.append((connection, time.monotonic()))

    def close(self, connection: Any) -> None:
        """Give one back on which something failed: its next reply would be a wrong one."""
        connection.disconnect()
        self._raw.connection_pool.release(connection)


def _at_rest(connection: Any) -> bool:
    """Whether nothing has come on an idle connection: neither a reply nor its end."""
    try:
        return not connection.can_read()
    except (AWAY, OSError):
        return False


class AsyncClient:
    """Carries out Calls on a `redis.asyncio.Redis`.

    Calls made in one turn of the loop travel together.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._loaded: set[str] = set()
        self._waiting: list[tuple[Call[Any], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._primary = primary(raw)

    async def run(self, call: Call[T]) -> T:
        """As Client.run; calls of other coroutines in this turn share the round trip."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((call, future))
        return call.parse(await future)

    async def run_alone(self, call: Call[T]) -> T:
        """For a command that blocks: it has a connection of its own, so nobody waits behind it."""
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                return call.parse(await self.raw.execute_command(*call.command))
        except AWAY_OR_LATE as error:
            raise _away(error) from None

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        sending = asyncio.get_running_loop().create_task(self._send(batch))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send(self, batch: list[tuple[Call[Any], asyncio.Future[Any]]]) -> None:
        try:
            replies = await self._exchange([call for call, _ in batch])
        except BaseException as error:
            replies = [error] * len(batch)
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, AWAY_OR_LATE):
                future.set_exception(_away(reply))
            elif isinstance(reply, BaseException):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    async def _exchange(self, calls: list[Call[Any]]) -> list[Any]:
        loads = _loads(calls, self._loaded)
        words = [*loads, *(call.command for call in calls)]
        pool = self.raw.connection_pool
        async with asyncio.timeout(SOCKET_TIMEOUT_S):
            if self._primary is not None:
                await self._primary.look()
            connection = await pool.get_connection()
            try:
                await connection.send_packed_command(_packed(connection, words))
                replies = [await self._reply(connection, command[0]) for command in words]
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await pool.release(connection)
            del replies[: len(loads)]
            for i, reply in enumerate(replies):
                if _unknown(reply):
                    replies[i] = await self.raw.execute_command(*_with_text(calls[i]))
        return replies

    async def _reply(self, connection: Any, name: str | int | float) -> Any:
        try:
            return await self.raw.parse_response(connection, name)
        except redis.exceptions.ResponseError as error:
            return error

    async def close(self) -> None:
        await self.raw.aclose()
        for sentinel in sentinels(self.raw):
            await sentinel.aclose()


def _packed(connection: Any, commands: Sequence[Words]) -> Any:
    """The bytes of several commands, by hiredis alone: redis-py looks at each word before it asks
    hiredis, and its asyncio half never does.
    """
    if PACK is None:
        return connection.pack_commands(commands)
    return [b"".join(map(PACK, commands))]


def _away(error: BaseException) -> BackendUnavailable:
    """What an error of redis-py means to callers: not now, or not here."""
    if isinstance(error, redis.exceptions.MovedError):
        return Moved(Place(error.host, error.port))
    if isinstance(error, redis.exceptions.AskError):
        return BackendUnavailable("these keys are moving to another node; again in a moment")
    return BackendUnavailable(advise(str(error) or f"no answer in {SOCKET_TIMEOUT_S:g} s"))


def _loads(calls: Sequence[Call[Any]], loaded: set[str]) -> list[tuple[str, ...]]:
    """The commands that make scripts known, to be sent before the calls.

    An unknown script would run only in a second round trip, after the calls behind it.
    """
    if len(calls) == 1:  # run again with its text
        return []
    new = {call.name for call in calls if not call.name.isupper()} - loaded
    loaded |= new
    return [("SCRIPT", "LOAD", script(name)) for name in new]


def _with_text(call: Call[Any]) -> tuple[Any, ...]:
    return ("EVAL", script(call.name), *call.command[2:])


def _unknown(reply: Any) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


def _raise(reply: Any) -> Any:
    """A reply; what Redis refused, or what kept it from answering, is raised."""
    if isinstance(reply, AWAY):
        raise _away(reply) from None
    if isinstance(reply, BaseException):
        raise reply
    return reply
