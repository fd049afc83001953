"""miniqueue with one of its choices taken away: what a choice is worth is what is lost without it.

    python without.py ahead worker --import bench_tasks     a worker that does not ask ahead
    python without.py joining api --port 8000               an API that sends each request alone

The word is one of CHOICES; the rest is the command line of miniqueue. Each choice is taken away by
a patch from outside, so that the package carries no switch for it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["CHOICES", "take_away"]


def ahead() -> None:
    """A lane asks for its next tasks only when it has run the ones that it holds."""
    from miniqueue.lane import Lane

    _replace(Lane, "ask_ahead", lambda lane: None)


def batches() -> None:
    """A claim hands out one task."""
    os.environ["MINIQUEUE_BATCH"] = "1"


def pipelines() -> None:
    """Each call is a round trip of its own, and answered before the next."""
    from miniqueue.redis_client import Client, Sent

    def send(client: Client, calls: Sequence[Any]) -> Sent:
        replies = [client.run(call) for call in calls]
        return Sent(lambda: replies)

    _replace(Client, "send", send)


def hiredis() -> None:
    """redis-py packs commands and parses replies in Python."""
    sys.modules["hiredis"] = None  # type: ignore[assignment]  # its import raises ImportError


def events() -> None:
    """No operation is told to the event stream."""
    _drop_lines("XADD")


def expiry() -> None:
    """Ended tasks stay for ever."""
    _drop_lines("PEXPIRE', key")


def joining() -> None:
    """What requests enqueue goes in a call each, in one round trip where they meet."""
    from miniqueue.joiner import Joiner

    async def enqueue(joiner: Joiner, sent: Sequence[Any]) -> list[str]:
        return await joiner._client.run(joiner._protocol.enqueue(sent))

    _replace(Joiner, "enqueue", enqueue)


ALL: Sequence[Callable[[], None]] = (ahead, batches, pipelines, hiredis, events, expiry, joining)
CHOICES = {choice.__name__: choice for choice in ALL}


@functools.cache  # once a process
def take_away(name: str) -> None:
    """Before the first import of miniqueue; without a name all stays."""
    if name:
        CHOICES[name]()


def _drop_lines(word: str) -> None:
    """Leave out the lines of all scripts that contain it; SystemExit if there is none."""
    from miniqueue import redis_client
    from miniqueue.protocol import calls

    whole = calls.script
    if not any(word in whole(name) for name in ("claim", "complete")):
        raise SystemExit(f"without.py: no line of claim.lua or complete.lua has {word!r} any more")

    def script(name: str) -> str:
        return "\n".join(line for line in whole(name).splitlines() if word not in line)

    _replace(calls, "script", script)
    _replace(redis_client, "script", script)


def _replace(owner: Any, name: str, new: object) -> None:
    setattr(owner, name, new)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in CHOICES:
        sys.exit(f"without.py: say first what to take away, one of {', '.join(CHOICES)}")
    take_away(sys.argv.pop(1))
    from miniqueue.cli import main

    sys.exit(main())
