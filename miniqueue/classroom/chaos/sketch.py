"""The first sketch of this system, to be put through the same test (control.py).

Its worker pops an id (BLPOP), works, and writes the state afterwards. Between the pop and the end
the task is nowhere but in that process.
"""

from __future__ import annotations

import sys
import time

from miniqueue.classroom.chaos.failpoints import pass_by
from miniqueue.classroom.chaos.witness import Witness
from miniqueue.redis_client import Client, connect
from miniqueue.settings import Settings

__all__ = ["QUEUE", "work"]

QUEUE = "sketch:queue"


def work(client: Client, name: str) -> None:
    """The sketch's worker, for ever."""
    witness = Witness()
    while True:
        try:
            _one(client, name, witness)
        except Exception as away:
            print(away, flush=True)
            time.sleep(0.1)


def _one(client: Client, name: str, witness: Witness) -> None:
    popped = client.raw.blpop(QUEUE, 1)
    if popped is None:
        return
    pass_by("claimed")
    key = popped[1]
    told = {"id": key, "attempt": 1, "worker": name}
    witness.tell("started", key, **told)
    time.sleep(float(client.raw.hget(f"sketch:{key}", "s")))
    pass_by("task")
    witness.tell("effect", key, **told)
    pass_by("effect")
    client.raw.hset(f"sketch:{key}", "state", "done")


if __name__ == "__main__":
    work(connect(Settings.from_env()), sys.argv[1])
