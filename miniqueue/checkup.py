"""Checkup: is every task where its state says? The invariants of the protocol, from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from miniqueue.protocol.calls import Call, pairs, redis_time
from miniqueue.protocol.keys import QueueKeys
from miniqueue.redis_client import Client
from miniqueue.task import PRIORITIES, Task, TaskState
from miniqueue.views import scores

__all__ = ["check", "read", "read_all", "sets"]

PAGE = 100  # ids read in one round trip
CHECKED = 100_000  # ids that are looked at in each structure


def check(client: Client, keys: QueueKeys) -> list[str]:
    """Sentences about what is wrong.

    Each waiting or running task is in exactly the structure that its state names, each ended one in
    its set, and no task hash is in none. Of a structure with more than 100,000 ids only so many are
    looked at, and a task that may be among the rest is not spoken of.
    """
    now = client.run(redis_time())
    places: dict[str, str] = {}
    longer: set[str] = set()
    problems: list[str] = []
    for label, members in _structures(client, keys):
        if len(members) == CHECKED:
            longer.add(label)
        tasks = read_all(client, keys, [task_id for task_id, _ in members])
        for (task_id, score), task in zip(members, tasks, strict=True):
            if task_id in places:
                problems.append(f"{task_id} is in {places[task_id]} and in {label}")
            places[task_id] = label
            problems += _misplaced(task_id, task, label, score, now)
    strays = [task_id for task_id in _hashes(client, keys) if task_id not in places]
    for task_id, task in zip(strays, read_all(client, keys, strays), strict=True):
        if task and _place(task) not in longer:
            problems.append(f"{task_id} has a hash and is in no structure")
    return problems


def read(client: Client, keys: QueueKeys, ids: Sequence[str]) -> list[Task | None]:
    """The tasks of these ids in one round trip; None where there is no hash."""
    if not ids:
        return []
    hashes = client.run_many([Call("HGETALL", (keys.task(i),), (), pairs) for i in ids])
    return [Task.from_hash(i, h) if h else None for i, h in zip(ids, hashes, strict=True)]


def read_all(client: Client, keys: QueueKeys, ids: Sequence[str]) -> Iterator[Task | None]:
    """As read(), of any number of ids, a page at a time."""
    for at in range(0, len(ids), PAGE):
        yield from read(client, keys, ids[at : at + PAGE])


def sets(keys: QueueKeys) -> dict[str, str]:
    """The sorted sets of a queue, by the state that they stand for."""
    return {
        "scheduled": keys.scheduled,
        "deferred": keys.deferred,
        "running": keys.running,
        "failed": keys.failed,
        "finished": keys.finished,
    }


def _structures(client: Client, keys: QueueKeys) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    for priority, key in zip(PRIORITIES, keys.ready, strict=True):
        ids = client.run(Call("LRANGE", (key,), (0, CHECKED - 1), list))
        yield f"ready:{priority}", [(i, 0.0) for i in ids]
    for label, key in sets(keys).items():
        yield (
            label,
            client.run(Call("ZRANGE", (key,), (0, CHECKED - 1, "WITHSCORES"), scores)),
        )


def _hashes(client: Client, keys: QueueKeys) -> Iterator[str]:
    cursor, looked = "0", 0
    start = keys.task("")
    pattern = start.replace("[", "\\[").replace("{", "\\{") + "*"
    while looked < CHECKED:
        cursor, found = client.run(
            Call("SCAN", (), (cursor, "MATCH", pattern, "COUNT", 1000), list)
        )
        yield from (key.removeprefix(start) for key in found)
        looked += 1000
        if str(cursor) == "0":
            return


def _misplaced(task_id: str, task: Task | None, label: str, score: float, now: int) -> list[str]:
    if task is None:
        forgotten = label in ("failed", "finished") and score <= now
        return [] if forgotten else [f"{task_id} is in {label} and has no hash"]
    return [] if label == _place(task) else [f"{task_id} is {task.state} and is in {label}"]


def _place(task: Task) -> str:
    """The structure that its state names."""
    return {
        TaskState.QUEUED: f"ready:{task.priority}",
        TaskState.SUCCEEDED: "finished",
        TaskState.CANCELLED: "finished",
    }.get(task.state, str(task.state))
