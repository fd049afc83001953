"""Failpoints: named places where a process dies (SIGKILL) if somebody has asked for it.

A failpoint is armed by a file, which the first process that comes by removes, and dies. Places:
claimed (tasks are claimed, none has begun), task (in the middle of one), effect (after its effect,
before its end is told), complete, reclaim, promote (while that call travels), reply (the API has
enqueued and not yet answered).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miniqueue.protocol.calls import Call, T
from miniqueue.redis_client import Client, Sent

__all__ = ["FOLDER", "PLACES", "Brittle", "arm", "disarm", "pass_by"]

FOLDER = "MINIQUEUE_CHAOS_FAILPOINTS"  # the variable that names the folder of armed failpoints
PLACES = ("claimed", "task", "effect", "complete", "reclaim", "promote", "reply")
TRAVELLING = ("complete", "reclaim", "promote")


def arm(folder: Path, place: str) -> None:
    """The next process that comes to this place dies."""
    (folder / place).touch()


def disarm(folder: Path, place: str) -> bool:
    """Nobody dies there any more; gives whether nobody has."""
    with contextlib.suppress(FileNotFoundError):
        (folder / place).unlink()
        return True
    return False


def pass_by(place: str) -> None:
    """Die here, if this failpoint is armed."""
    if _taken(place):
        os.kill(os.getpid(), signal.SIGKILL)


def _taken(place: str) -> bool:
    folder = os.environ.get(FOLDER)
    if not folder or not os.path.exists(path := os.path.join(folder, place)):
        return False
    try:
        os.unlink(path)
    except FileNotFoundError:  # somebody else was faster
        return False
    return True


class Brittle(Client):
    """A client with failpoints: it dies after a claim, or while a call is on its way."""

    def run(self, call: Call[T]) -> T:
        _depart([call])
        reply = super().run(call)
        _arrive([call], [reply])
        return reply

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        _depart(calls)
        sent = super().send(calls)

        def replies() -> list[Any]:
            found = sent.replies()
            _arrive(calls, found)
            return found

        return Sent(replies)


def _depart(calls: Sequence[Call[Any]]) -> None:
    for call in calls:
        if call.name in TRAVELLING and _taken(call.name):
            kill = (os.getpid(), signal.SIGKILL)
            threading.Thread(target=os.kill, args=kill).start()  # while the call is under way


def _arrive(calls: Sequence[Call[Any]], replies: Sequence[Any]) -> None:
    for call, reply in zip(calls, replies, strict=True):
        if call.name == "claim" and reply.tasks:
            pass_by("claimed")
