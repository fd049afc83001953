"""Store: a Redis in memory whose transitions are remembered.

Exploring runs the same command in the same state again and again, and a Lua script costs fakeredis
hundreds of microseconds. So a state has a number, equal contents have equal numbers, and a table
holds (state, time, command) -> (reply, next state, journal). Only a command that is not in the
table is carried out, on the state put back into fakeredis.
"""

from __future__ import annotations

import pickle
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fakeredis
from fakeredis.model import ExpiringMembersSet, Hash, ZSet

from miniqueue.classroom.explorer.clock import Clock
from miniqueue.protocol.calls import script, scripts
from miniqueue.redis_client import AWAY

__all__ = ["Answer", "Snapshot", "Store", "Words", "as_bytes"]

# A command; ("WATCH", who, "new" or "more", *keys); ("EXEC", who, commands), who or nobody watches.
Words = tuple[Any, ...]
WATCHES = "watches"  # the type of what is kept of a WATCH among the contents: its keys, if touched
Frozen = tuple[bytes, str, Hashable, float | None]  # key, type, content, when it expires (s)
Entry = tuple[str, ...]  # of a stream: field, value, field, value, ...


@dataclass(frozen=True)
class Answer:
    """What a command gave: a reply or an exception, with a number that equal answers share."""

    number: int
    value: Any


@dataclass(frozen=True)
class Snapshot:
    """All that Redis holds at one moment."""

    content: tuple[Frozen, ...]

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """Key -> str, list, dict (hash), set, or list of (member, score) pairs (sorted set)."""
        return {
            key.decode(): _readable(kind, value)
            for key, kind, value, _ in self.content
            if kind != WATCHES
        }

    def expiries(self) -> Iterable[int]:
        """When keys with a time to live end, in ms."""
        return (int(at * 1000) for _, _, _, at in self.content if at is not None)


@dataclass(frozen=True)
class _Moved:
    answer: Answer
    state: int
    journal: tuple[Entry, ...]


class Store:
    """States by number, and what each command makes of each of them.

    `unread` are keys that programs write and never read (counters, an event stream): they are taken
    out of the state after each command, so that histories which differ only there are one. What was
    added to a stream among them is handed out as the journal of the step.
    """

    def __init__(self, clock: Clock, unread: Iterable[str] = ()) -> None:
        self.clock = clock
        self.misses = 0
        self._unread = [key.encode() for key in unread]
        self._server = fakeredis.FakeServer(version=(7,))
        self.raw: Any = fakeredis.FakeRedis(server=self._server, decode_responses=True, protocol=2)
        self._db: Any = self._server.dbs[0]
        self.raw.set("a key", "")
        self._item: Any = type(self._db[b"a key"])  # what fakeredis keeps a value in
        self.raw.flushall()
        self._snapshots: list[Snapshot] = []
        self._numbers: dict[tuple[Frozen, ...], int] = {}
        self._answers: dict[str, Answer] = {}
        self._moves: dict[tuple[int, int, Words], _Moved] = {}
        self._aged: dict[tuple[int, int], int] = {}
        self._at = -1  # the state that fakeredis is in now
        self._plain: Any = fakeredis.FakeRedis(
            server=self._server, decode_responses=True, protocol=2
        )
        self._plain.response_callbacks.clear()  # replies as they are; each program reads its own
        for name in scripts():
            self.load(script(name))

    def snapshot(self, state: int) -> Snapshot:
        """The content of a state."""
        return self._snapshots[state]

    def now(self) -> int:
        """The number of the state that fakeredis is in (after a scenario was set up in `raw`)."""
        self._drop_unread()
        self._at = self._intern(self._freeze())
        return self._at

    def run(self, state: int, now_ms: int, words: Words) -> _Moved:
        """Carry out a command, or remember what came of it."""
        moved = self._moves.get((state, now_ms, words))
        if moved is None:
            moved = self._run(state, now_ms, words)
            if not _unknown_script(moved.answer.value):  # it may be loaded, and asked for again
                self._moves[state, now_ms, words] = moved
        return moved

    def aged(self, state: int, now_ms: int) -> int:
        """The same state at a later time: without the keys whose time is over."""
        number = self._aged.get((state, now_ms))
        if number is None:
            kept = [
                frozen
                for frozen in self._snapshots[state].content
                if frozen[3] is None or frozen[3] * 1000 >= now_ms
            ]
            number = self._aged[state, now_ms] = self._intern(tuple(kept))
        return number

    def load(self, text: str) -> None:
        """Let Redis know a script."""
        self._plain.execute_command("SCRIPT", "LOAD", text)

    def reader(self, state: int, now_ms: int) -> Any:
        """A redis-py client on this state, for an invariant to look with."""
        self._restore(state, now_ms)
        self._at = -1  # whoever holds the client may write
        return self.raw

    def answer(self, value: Any) -> Answer:
        """The answer with this value."""
        text = f"{type(value).__name__} {value!r}"
        if text not in self._answers:
            self._answers[text] = Answer(len(self._answers), value)
        return self._answers[text]

    # -- on a miss -------------------------------------------------------------------------------

    def _run(self, state: int, now_ms: int, words: Words) -> _Moved:
        self.misses += 1
        self._restore(state, now_ms)
        before = self._snapshots[state].content
        watches = {frozen[0]: frozen[2] for frozen in before if frozen[1] == WATCHES}
        try:
            value = self._carry_out(words, watches)
        except AWAY as error:
            value = error
        journal = self._drop_unread()
        after = self._freeze()
        if watches:
            after = tuple(sorted([*after, *_touched(watches, {*before} ^ {*after})]))
        self._at = self._intern(after)
        return _Moved(self.answer(value), self._at, journal)

    def _carry_out(self, words: Words, watches: dict[bytes, Any]) -> Any:
        if words[0] == "WATCH":
            who, kind, *keys = (as_bytes(word) for word in words[1:])
            old, touched = watches.get(who, ((), False)) if kind == b"more" else ((), False)
            watches[who] = (tuple(sorted({*old, *keys})), touched)
            return "OK"
        if words[0] == "TRY":  # a blocking command that does not block: inside MULTI it never does
            return self._transaction([words[1:]])[0]
        if words[0] == "EXEC":
            _, touched = watches.pop(as_bytes(words[1]), ((), False))
            return None if touched else self._transaction(words[2])
        return self._plain.execute_command(*words)

    def _transaction(self, commands: Sequence[Words]) -> list[Any]:
        pipe = self._plain.pipeline(transaction=True)
        for words in commands:
            pipe.execute_command(*words)
        replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies

    def _drop_unread(self) -> tuple[Entry, ...]:
        told: list[Entry] = []
        for key in self._unread:
            if key not in self._db:
                continue
            if type(self._db[key].value).__name__ == "XStream":
                for _, fields in self._plain.execute_command("XRANGE", key, "-", "+"):
                    told.append(tuple(fields))
            self._db.pop(key, None)
        return tuple(told)

    def _intern(self, content: tuple[Frozen, ...]) -> int:
        number = self._numbers.get(content)
        if number is None:
            number = self._numbers[content] = len(self._snapshots)
            self._snapshots.append(Snapshot(content))
        return number

    def _freeze(self) -> tuple[Frozen, ...]:
        self._db.time = self.clock.now_s
        frozen = [(key, *_frozen(self._db[key].value), self._db[key].expireat) for key in self._db]
        return tuple(sorted(frozen))

    def _restore(self, state: int, now_ms: int) -> None:
        self.clock.now_ms = now_ms
        if state == self._at:
            return
        with self._server.lock:
            self._db.clear()
        for key, kind, value, expires in self._snapshots[state].content:
            if kind == WATCHES:
                continue
            item = self._item(_thawed(kind, value))
            item.expireat = expires
            self._db[key] = item
        self._at = state


def _touched(watches: Mapping[bytes, Any], changed: Iterable[Frozen]) -> Iterable[Frozen]:
    """The watches after a step that has changed these contents."""
    keys = {frozen[0] for frozen in changed if frozen[1] != WATCHES}
    for who, (watched, touched) in watches.items():
        yield who, WATCHES, (watched, touched or not keys.isdisjoint(watched)), None


def _unknown_script(value: Any) -> bool:
    return type(value).__name__ == "NoScriptError"


def as_bytes(word: Any) -> bytes:
    """A word of a command as it travels."""
    return word if isinstance(word, bytes) else str(word).encode()


def _frozen(value: Any) -> tuple[str, Hashable]:
    if isinstance(value, bytes):
        return "string", value
    if isinstance(value, list):
        return "list", tuple(value)
    if isinstance(value, Hash) and not getattr(value, "_expirations", None):
        return "hash", tuple(sorted(value.items()))
    if isinstance(value, ZSet):
        return "zset", tuple(sorted((score, member) for member, score in value.items()))
    if isinstance(value, ExpiringMembersSet) and not getattr(value, "_may_expire", True):
        return "set", tuple(sorted(value))
    return "other", pickle.dumps(value)  # streams, time to live of a field


def _thawed(kind: str, value: Any) -> Any:
    if kind == "string":
        return value
    if kind == "list":
        return list(value)
    if kind == "hash":
        found = Hash()
        found.update(dict(value), False)
        return found
    if kind == "zset":
        members = ZSet()
        for score, member in value:
            members.add(member, score)
        return members
    if kind == "set":
        return ExpiringMembersSet(dict.fromkeys(value))
    return pickle.loads(value)


def _readable(kind: str, value: Any) -> Any:
    if kind == "string":
        return value.decode(errors="replace")
    if kind == "list":
        return [item.decode(errors="replace") for item in value]
    if kind == "hash":
        return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in value}
    if kind == "zset":
        return [(member.decode(errors="replace"), score) for score, member in value]
    if kind == "set":
        return {member.decode(errors="replace") for member in value}
    return pickle.loads(value)
