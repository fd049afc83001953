"""No library at all: the least that a queue with leases and results can do on Redis, by hand.

    python with_nothing.py enqueue 1000                     as each driver
    python with_nothing.py worker --loop six                six round trips a task
    python with_nothing.py worker --loop three              three pipelines a task
    python with_nothing.py worker --loop lua --batch 64     one script call for 64 tasks

To enqueue: HSET the task, LPUSH its id. To claim: pop an id, write its state, a lease in a sorted
set, read its payload. To finish: write state and result, take the lease back. It has no retries,
no events, no expiry, and nobody looks for leases that have run out: it marks the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import cast

import redis
from done import mark
from driver import Peer, chunks, redis_url, run, setting

__all__ = ["LOOPS", "enqueue", "lua", "six", "three"]

Client = redis.Redis
PAYLOAD = '["noop",[]]'
LEASE_S = 30.0
IDLE_S = 0.01  # an empty queue is looked at again so soon

# KEYS: none, it is one shard.  ARGV: when the leases end, how many to claim, then id and result of
# each task that is done.  Returns {id, payload} of each claimed task.
FINISH_AND_CLAIM = """
local done = {}
for i = 3, #ARGV, 2 do
  redis.call('HSET', 't:' .. ARGV[i], 'state', 'done', 'result', ARGV[i + 1])
  done[#done + 1] = ARGV[i]
end
if #done > 0 then redis.call('ZREM', 'leases', unpack(done)) end
local claimed, leases = {}, {}
for _, id in ipairs(redis.call('RPOP', 'ready', ARGV[2]) or {}) do
  redis.call('HSET', 't:' .. id, 'state', 'running')
  leases[#leases + 1] = ARGV[1]
  leases[#leases + 1] = id
  claimed[#claimed + 1] = {id, redis.call('HGET', 't:' .. id, 'payload')}
end
if #leases > 0 then redis.call('ZADD', 'leases', unpack(leases)) end
return claimed
"""


def execute(payload: str) -> str:
    """Run the task that a payload names; its result, as JSON."""
    name, args = json.loads(payload)
    TASKS[name](*args)
    return json.dumps(None)


TASKS: dict[str, Callable[..., None]] = {"noop": mark}


def enqueue(client: Client, count: int, pipeline: int = 1) -> None:
    """Send no-op tasks, so many in a pipeline."""
    for size in chunks(count, pipeline):
        with client.pipeline(transaction=False) as calls:
            for _ in range(size):
                id = os.urandom(8).hex()
                calls.hset(f"t:{id}", mapping={"state": "queued", "payload": PAYLOAD})
                calls.lpush("ready", id)
            calls.execute()


def pop(client: Client) -> str | None:
    return cast("str | None", client.rpop("ready"))


def six(client: Client, batch: int) -> int:
    """Each command is a round trip; one task. Returns how many have run, as the others do."""
    if (id := pop(client)) is None:
        return 0
    client.hset(f"t:{id}", "state", "running")
    client.zadd("leases", {id: time.time() + LEASE_S})
    payload = cast(str, client.hget(f"t:{id}", "payload"))
    client.hset(f"t:{id}", mapping={"state": "done", "result": execute(payload)})
    client.zrem("leases", id)
    return 1


def three(client: Client, batch: int) -> int:
    """The pop, then one pipeline to claim and one to finish; one task."""
    if (id := pop(client)) is None:
        return 0
    with client.pipeline(transaction=False) as calls:
        calls.hset(f"t:{id}", "state", "running")
        calls.zadd("leases", {id: time.time() + LEASE_S})
        calls.hget(f"t:{id}", "payload")
        payload = calls.execute()[-1]
        calls.hset(f"t:{id}", mapping={"state": "done", "result": execute(payload)})
        calls.zrem("leases", id)
        calls.execute()
    return 1


def lua(client: Client, batch: int) -> int:
    """One script call finishes the last batch and claims the next; until the queue is empty."""
    script = client.register_script(FINISH_AND_CLAIM)
    done: list[str] = []
    count = 0
    while claimed := script(args=[time.time() + LEASE_S, batch, *done]):
        done = []
        for id, payload in claimed:
            done += id, execute(payload)
        count += len(claimed)
    return count


LOOPS: dict[str, Callable[[Client, int], int]] = {"six": six, "three": three, "lua": lua}


def work(loop: str, batch: int) -> None:
    """A worker, until it is stopped."""
    client = connect()
    while True:
        if not LOOPS[loop](client, batch):
            time.sleep(IDLE_S)


def connect() -> Client:
    return redis.Redis.from_url(redis_url(), decode_responses=True)


def main(words: Sequence[str]) -> None:
    """The worker's command line; all else is what every driver does."""
    if words[:1] != ["worker"]:
        run("with_nothing")
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("worker")
    parser.add_argument("--loop", choices=tuple(LOOPS), default="lua")
    parser.add_argument("--batch", type=int, default=64, help="tasks a script call")
    args = parser.parse_args(words)
    work(args.loop, args.batch)


def peer() -> Peer:
    """As a contender: BENCH_SETTING is six, three, lua-1, lua-8 or lua-64."""
    client, name = connect(), setting("lua-64")
    loop, _, batch = name.partition("-")
    return Peer(
        worker=[sys.executable, __file__, "worker", "--loop", loop, "--batch", batch or "1"],
        send=lambda: enqueue(client, 1),
        many=lambda count: enqueue(client, count, pipeline=1000 if name == "lua-64" else 100),
    )


PEER = peer()

if __name__ == "__main__":
    main(sys.argv[1:])
