"""Telling: commands and replies in few words, for a reader of a schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from miniqueue.protocol.calls import Call, scripts, sha

__all__ = ["answer", "label"]

MOST = 64  # characters of a command or a reply
NAMES = {sha(name): name for name in scripts()}


def label(what: Call[Any] | tuple[Any, ...]) -> str:
    """A command or a Call: `LPOP queue`, `complete a/1`.

    >>> label(("HSET", "task:a", "state", "running"))
    'HSET task:a state running'
    """
    if isinstance(what, Call):
        return _call(what)
    name, *rest = (str(word) for word in what)
    if name.upper() in ("EVALSHA", "EVAL"):
        known = NAMES.get(rest[0])
        keys = int(rest[1])
        return _short([known] if known else ["script", *rest[2 : 2 + keys], *rest[2 + keys :]])
    return _short([name.upper(), *rest])


def _call(call: Call[Any]) -> str:
    args = list(call.args)
    pairs: Iterable[Any] = ()
    if call.name == "complete":
        pairs = zip(args[4::5], args[5::5], strict=False)
    elif call.name == "extend":
        pairs = zip(args[2::2], args[3::2], strict=False)
    elif call.name == "release":
        pairs = zip(args[4::2], args[5::2], strict=False)
    elif call.name in ("fail", "postpone"):
        pairs = [(args[2], args[3])]
    elif call.name == "cancel":
        return f"cancel {args[1]}"
    elif call.name.isupper():
        return _short([call.name, *(str(key).rsplit("}:", 1)[-1] for key in call.keys), *args])
    return _short([call.name, *(f"{task}/{attempt}" for task, attempt in pairs)])


def answer(reply: Any) -> str:
    """A reply: `'a'`, `nothing`, `a/1`."""
    if isinstance(reply, Exception):
        return f"{type(reply).__name__}: {reply}"[:MOST]
    if reply is None or reply == [] or reply == {}:
        return "nothing"
    if isinstance(reply, list) and len(reply) >= 2 and isinstance(reply[0], int):
        claimed = [item.split("\0", 2) for item in reply[2:] if "\0" in str(item)]
        if len(claimed) == len(reply) - 2 and reply[0] > 10**12:  # what claim.lua gives
            return " ".join(f"{item[0]}/{item[1]}" for item in claimed) or "nothing"
    return _short([repr(reply)])


def _short(words: Iterable[Any]) -> str:
    text = " ".join(str(word) for word in words)
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
