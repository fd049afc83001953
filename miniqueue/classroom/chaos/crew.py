"""The worker and the API of a chaos run: ours, with failpoints, and what else the run asks for.

    python -m miniqueue.classroom.chaos.crew worker|api ...

A fault planted in the protocol (plants.py), and for some workers a clock that is an hour off.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence

from miniqueue.classroom.chaos.failpoints import Brittle, pass_by
from miniqueue.classroom.chaos.witness import Witness
from miniqueue.classroom.plants import Planted, plant
from miniqueue.protocol.calls import Call, T
from miniqueue.queue import Queue
from miniqueue.redis_client import AsyncClient, Client, connect
from miniqueue.settings import Settings
from miniqueue.worker import add_arguments, add_import, serve

__all__ = ["PLANT", "SKEW"]

PLANT = "MINIQUEUE_CHAOS_PLANT"  # the name of a planted fault
SKEW = "MINIQUEUE_CHAOS_SKEW"  # a seed: a quarter of the workers have a wrong clock
SKEW_S = 3600.0
WIDE_S = 1.0  # what a planted reclaim waits between looking and moving


def worker(words: Sequence[str]) -> None:
    """As `miniqueue worker`."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(words)
    settings = Settings.from_env()
    client: Client = Brittle(connect(settings).raw)
    if name := os.environ.get(PLANT):
        client = Planted(client, plant(name), _between)
    if _skewed(args.name):
        right = time.time
        time.time = lambda: right() + SKEW_S
    witness = Witness()
    witness.tell("ready", "", worker=args.name)  # what took long is over: Python is up
    witness.close()
    serve(Queue(settings=settings, client=client), args.modules, args.name)


def _between(operation: str) -> None:
    """Between two steps of an operation that the protocol does in one."""
    if operation == "reclaim":
        time.sleep(WIDE_S)
    pass_by("claimed" if operation == "claim" else operation)


def _skewed(name: str) -> bool:
    seed = os.environ.get(SKEW)
    return bool(seed) and random.Random(f"{seed} {name}").random() < 0.25


def api(words: Sequence[str]) -> None:
    """As `miniqueue api`; it may die when Redis has a task and the client does not know it yet."""
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    add_import(parser)
    args = parser.parse_args(words)
    os.environ["MINIQUEUE_IMPORT"] = ",".join(args.modules)
    run = AsyncClient.run

    async def brittle(self: AsyncClient, call: Call[T]) -> T:
        reply = await run(self, call)
        if call.name == "enqueue":
            pass_by("reply")
        return reply

    AsyncClient.run = brittle  # type: ignore[method-assign]
    uvicorn.run("miniqueue.api:app", host=args.host, port=args.port, access_log=False)


if __name__ == "__main__":
    {"worker": worker, "api": api}[sys.argv[1]](sys.argv[2:])
