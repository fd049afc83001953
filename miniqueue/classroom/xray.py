"""X-ray: the commands that Redis carries out inside an operation, and the keys before and after.

    xray(queue, queue.protocol.claim("w1", 10))     # carry it out, and show what it did
    xray_of("claim")                                # a small example of any operation
    with recording(queue) as record:                # every call that this queue sends meanwhile
        queue.enqueue(add, 2, 3)

A script is sent with a few lines before it which replace `redis.call` by one that also takes notes,
so it works on every server and sees a key just before it is first touched. Measure nothing with it.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from miniqueue.errors import MiniQueueError
from miniqueue.protocol.calls import Call, T, redis_time, same, script
from miniqueue.queue import Queue
from miniqueue.redis_client import Client, Sent

__all__ = ["Change", "XRay", "recording", "xray", "xray_markdown", "xray_of"]

WIDE = 96  # characters of a line of text
CELL = 60  # characters of a cell
MOST = 20  # members of a list or set that are read at either end
YEAR_MS = 366 * 86_400_000  # a number that is so near to now is a time

LOOK = """
local real = redis
local function look(key)
  local kind = real.call('TYPE', key)
  kind = type(kind) == 'table' and kind.ok or kind
  local found, size = {}, 0
  if kind == 'string' then found, size = {real.call('GET', key)}, 1
  elseif kind == 'hash' then found, size = real.call('HGETALL', key), real.call('HLEN', key)
  elseif kind == 'stream' then size = real.call('XLEN', key)
    for _, entry in ipairs(real.call('XREVRANGE', key, '+', '-', 'COUNT', MOST)) do
      found[#found + 1] = table.concat(entry[2], ' ')
    end
  elseif kind == 'list' or kind == 'zset' then
    size = real.call(kind == 'list' and 'LLEN' or 'ZCARD', key)
    local function part(from, to)
      if kind == 'list' then return real.call('LRANGE', key, from, to) end
      return real.call('ZRANGE', key, from, to, 'WITHSCORES')
    end
    found = part(0, size > 2 * MOST and MOST - 1 or -1)
    for _, word in ipairs(size > 2 * MOST and part(-MOST, -1) or {}) do found[#found + 1] = word end
  end
  return {kind, size, real.call('PTTL', key), found}
end
""".replace("MOST", str(MOST))

NOTES = """
local log, order, before, time = {}, {}, {}, nil
local function noted(run) return function(...)
  local words, name = {...}, string.upper((...))
  for i, word in ipairs(words) do
    words[i] = type(word) == 'number' and string.format('%.17g', word) or word
  end
  log[#log + 1] = words
  for i = 2, (name == 'DEL' or name == 'UNLINK') and #words or math.min(2, #words) do
    if not before[words[i]] then
      order[#order + 1], before[words[i]] = words[i], look(words[i])
    end
  end
  if name ~= 'TIME' then return run(...) end
  time = CLOCK or run(...)
  return time
end end
local redis = setmetatable({call = noted(real.call), pcall = noted(real.pcall)}, {__index = real})
local function body()
SCRIPT
end
local reply, touched = body(), {}
for i, key in ipairs(order) do touched[i] = {key, before[key], look(key)} end
return {reply == nil and {} or {reply}, log, touched, time or CLOCK or real.call('TIME')}
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A key that an operation touched, and what of it changed: texts, empty where nothing was."""

    key: str
    type: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True, repr=False)
class XRay:
    """What one operation did. Prints as text, and as tables in a notebook.

    `command` is what was sent, `commands` what Redis carried out, in order, `reply` what the call
    gives (or the error that it raises), `touched` every key that was read or written. Times are
    Redis' clock; texts tell them as "now + 15000", in ms. M stands for the queue's prefix.
    """

    name: str
    command: tuple[str | int | float, ...]
    commands: list[tuple[str, ...]]
    reply: Any
    touched: list[Change]
    now_ms: int
    prefix: str
    round_trips: int = 1

    def __repr__(self) -> str:
        return f"<XRay of {self.name}: {len(self.commands)} commands>"

    @property
    def changes(self) -> list[Change]:
        """The keys that are not as they were."""
        return [change for change in self.touched if change.changed]

    @property
    def lines(self) -> list[str]:
        """The commands inside as text, one each."""
        return [_short(_words(words, self.prefix, self.now_ms), WIDE) for words in self.commands]

    @property
    def only_read(self) -> list[str]:
        """Keys that are as they were."""
        return [c.key for c in self.touched if not c.changed]

    def __str__(self) -> str:
        rows = [("key", "before", "after"), *((c.key, c.before, c.after) for c in self.changes)]
        rows = [(key, _short(old, CELL), _short(new, CELL)) for key, old, new in rows]
        wide = [max(len(row[i]) for row in rows) for i in range(2)]
        table = [f"  {k:{wide[0]}}  {b:{wide[1]}}  {a}".rstrip() for k, b, a in rows]
        read = [f"  only read: {', '.join(self.only_read)}"] if self.only_read else []
        head = f"{self.name}: {self.round_trips} round trip, {len(self.commands)} commands inside"
        inside = [f"  {line}" for line in self.lines]
        return "\n".join([head, *inside, *table, *read, f"  reply: {self._reply()}"])

    def _repr_html_(self) -> str:
        keys = [(c.key, c.before, c.after) for c in self.changes]
        cells = [f"<tr>{''.join(map(_cell, key))}</tr>" for key in keys]
        inside = "\n".join(html.escape(line, quote=False) for line in self.lines)
        read = f"<p>Only read: {html.escape(', '.join(self.only_read))}</p>"
        return (
            f"<b>{html.escape(self.name)}</b>: {self.round_trips} round trip, "
            f"{len(self.commands)} commands inside<pre>{inside}</pre>"
            "<table><tr><th>key</th><th>before</th><th>after</th></tr>"
            f"{''.join(cells)}</table>{read if self.only_read else ''}"
            f"<p>Reply: <code>{html.escape(self._reply())}</code></p>"
        )

    def _reply(self) -> str:
        return _short(_relative(repr(self.reply), self.now_ms), WIDE)


def xray(queue: Queue, call: Call[Any]) -> XRay:
    """Carry out a call on the queue's Redis, once, and show what it did.

    An error that the call raises (QueueFull, say) is its `reply`. Raises BackendUnavailable.
    """
    return _xray(queue.client, call, queue.protocol.keys.prefix)


def xray_of(name: str) -> XRay:
    """A small example of an operation, on a Redis in memory; always the same.

    Raises ConfigError for a name that no script has.
    """
    from miniqueue.classroom.xray_examples import example

    client, prefix, steps, now_ms = example(name)
    for step in steps:
        if isinstance(step, int):
            now_ms += step
        else:
            seen = _xray(client, step, prefix, now_ms)
    return seen


@contextmanager
def recording(queue: Queue) -> Iterator[list[XRay]]:
    """A list that fills with an XRay of each call that this queue sends inside the with block.

    Calls that would share a round trip are sent one by one, to see what each of them did;
    `round_trips` is 1 for the first of them and 0 for the others.
    """
    record: list[XRay] = []
    plain, queue.client = queue.client, _Recorder(queue, record)
    try:
        yield record
    finally:
        queue.client = plain


class _Recorder(Client):
    """Carries out calls as x-rays."""

    def __init__(self, queue: Queue, record: list[XRay]) -> None:
        super().__init__(queue.client.raw)
        self._plain, self._prefix, self._record = queue.client, queue.protocol.keys.prefix, record

    def run(self, call: Call[T]) -> T:
        return self.run_many([call])[0]  # type: ignore[no-any-return]

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        return Sent(lambda: self._seen(calls))

    def _seen(self, calls: Sequence[Call[Any]]) -> list[Any]:
        first, *others = [_xray(self._plain, call, self._prefix) for call in calls]
        self._record += (seen := [first, *(replace(other, round_trips=0) for other in others)])
        if errors := [one.reply for one in seen if isinstance(one.reply, MiniQueueError)]:
            raise errors[0]
        return [one.reply for one in seen]


def xray_markdown(name: str) -> str:
    """The example of an operation for docs/protocol.md: the commands inside, and what changed."""
    seen = xray_of(name)
    rows = [f"| `{c.key}` | {_mark(c.before)} | {_mark(c.after)} |" for c in seen.changes]
    table = ["| key | before | after |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join(["```", *seen.lines, "```", "", *table])


# -- carrying out ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Noted(Call[T]):
    """A script that takes notes."""

    text: str = ""

    @property
    def command(self) -> tuple[str | int | float, ...]:
        return ("EVAL", self.text, len(self.keys), *self.keys, *self.args)


@functools.cache
def _noting(name: str, now_ms: int) -> str:
    clock = f"{{'{now_ms // 1000}', '{now_ms % 1000 * 1000}'}}" if now_ms else "nil"
    return LOOK + f"local CLOCK = {clock}\n" + NOTES.replace("SCRIPT", script(name))


def _xray(client: Client, call: Call[Any], prefix: str, now_ms: int = 0) -> XRay:
    """Carry out and look; with `now_ms` the script is told that time."""
    if call.name.isupper():
        raw, commands, touched, now = _plain(client, call)
    else:
        noted = _Noted(call.name, call.keys, call.args, same, _noting(call.name, now_ms))
        replies, commands, touched, time = client.run(noted)
        raw, now = (replies or [None])[0], int(time[0]) * 1000 + int(time[1]) // 1000
    try:
        reply = call.parse(raw)
    except MiniQueueError as error:
        reply = error
    changes = [_change(key, old, new, prefix, now) for key, old, new in touched]
    inside = [tuple(map(str, words)) for words in commands]
    return XRay(call.name, call.command, inside, reply, changes, now, prefix)


def _plain(client: Client, call: Call[Any]) -> tuple[Any, list[Any], list[Any], int]:
    """A plain command: its keys are looked at before and after, in round trips of their own."""
    text = (
        LOOK
        + "local found = {} for i, key in ipairs(KEYS) do found[i] = look(key) end return found"
    )
    look: Call[Any] = _Noted("look", call.keys, (), same, text)
    before = client.run(look)
    raw = client.run(replace(call, parse=same))
    after, now = client.run(look), client.run(redis_time())
    return raw, [call.command], list(zip(call.keys, before, after, strict=True)), now


# -- telling ---------------------------------------------------------------------------------------

Seen = list[Any]  # type, size, ttl in ms, members


def _change(key: str, old: Seen, new: Seen, prefix: str, now: int) -> Change:
    kind = new[0] if new[0] != "none" else old[0]
    before, after = _tell(old, new, now), _tell(new, old, now)
    if kind == "stream":
        before, after = _stream(old, old, now), _stream(old, new, now)
    return Change(key.replace(prefix, "M:"), kind, before, after)


def _stream(old: Seen, new: Seen, now: int) -> str:
    added = new[3][: new[1] - old[1]][::-1]
    many = f"{new[1]} {'entry' if new[1] == 1 else 'entries'}"
    return " and ".join(_relative(f"+ {entry}", now) for entry in added) or many


def _tell(seen: Seen, other: Seen, now: int) -> str:
    """What is in a key and not in the other reading of it; the whole of a list."""
    kind, size, ttl, found = seen
    words = [str(word) for word in found]
    if kind == "hash":
        words = _new(words, other[3], "{} {}")
    elif kind == "zset":
        words = _new(words, other[3], "{} at {}")
    if kind == "list" and size > len(words):
        words[MOST:MOST] = ["…"]
    text = ", ".join(_short(_relative(word, now), CELL) for word in words)
    if kind == "list":
        text = f"[{text}]" if size == len(found) else f"{size} members: [{text}]"
    if abs(ttl - other[2]) > 1000 and ttl >= 0:  # a time that only passes is no change
        text += f"{', ' if text else ''}ttl {round(ttl / 1000)} s"
    return text


def _new(words: list[str], others: list[Any], form: str) -> list[str]:
    """The pairs that the other reading does not have."""
    known = set(zip(others[::2], others[1::2], strict=True))
    pairs = zip(words[::2], words[1::2], strict=True)
    return [form.format(*pair) for pair in pairs if pair not in known]


def _words(words: Sequence[str], prefix: str, now: int) -> str:
    return _relative(" ".join(_short(w, CELL) or "''" for w in words), now).replace(prefix, "M:")


def _relative(text: str, now: int) -> str:
    """Times as the distance from now."""

    def told(found: re.Match[str]) -> str:
        apart = int(found[0]) - now
        if abs(apart) > YEAR_MS:
            return found[0]
        return "now" if apart == 0 else f"now {'+' if apart > 0 else '-'} {abs(apart)}"

    return re.sub(r"\b[0-9]{13}\b", told, text)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _mark(text: str) -> str:
    return _short(text, CELL + 30).replace("|", "\\|")


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(_short(text, 2 * CELL))}</td>"
