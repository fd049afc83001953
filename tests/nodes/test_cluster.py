"""A cluster of real nodes: queues spread over it, move, and go on when a primary is killed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniqueue.cluster import slot_of
from miniqueue.errors import BackendUnavailable
from miniqueue.functions import echo, fail
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import Call, redis_time
from miniqueue.protocol.operations import Protocol
from miniqueue.queue import Queue
from miniqueue.redis_client import connect, connect_async
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.nodes.load import Sender, by_python, settled
from tests.nodes.servers import Cluster, admin, housing
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40)]

TAIL_S = 0.5  # what was accepted so shortly before the primary died may be lost


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with housing(tmp_path_factory.mktemp("cluster")) as house:
        cluster = Cluster(house)
        cluster.start()
        yield cluster


@pytest.fixture
def settings(cluster: Cluster) -> Settings:
    return Settings(redis_url=cluster.url, lease_s=1.0)


def names(cluster: Cluster, each: int, prefix: str) -> list[str]:
    """Names of queues: so many on each primary, by number of the primary."""
    found: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for number in range(1000):
        name = f"{prefix}{number}"
        found[cluster.owner(slot_of(f"{{{name}}}"))].append(name)
    return [name for owner in range(3) for name in found[owner][:each]]


def test_slots_are_those_of_redis(cluster: Cluster) -> None:
    with admin(cluster.ports[0]) as client:
        for key in ("mq:queues", "mq:{default}:wake", "{}x", "{", "a{b}{c}", "ü{é}", ""):
            assert slot_of(key) == client.execute_command("CLUSTER", "KEYSLOT", key)


def test_queues_spread_over_the_nodes_and_are_seen_together(
    cluster: Cluster, settings: Settings
) -> None:
    here, before = names(cluster, 2, "spread"), sent_on(cluster)
    queue = Queue(here[0], settings=settings)
    for name in here:
        one = queue.sibling(name)
        worker = Worker(one, name=f"w-{name}")
        worker.start()
        handles = one.enqueue_many(echo, [(i,) for i in range(20)])
        failed = one.enqueue(fail.options(max_attempts=1))
        one.enqueue(echo.options(delay_s=60), 1)
        one.enqueue(echo.options(after=(handles[0].id,)), 2)
        while worker.run_once():
            pass
        assert [handle.wait(timeout_s=5) for handle in handles] == list(range(20))
        assert list(handles[0].stream(timeout_s=5)) == []
        assert failed.get().state == "failed"
    inspector = Inspector(queue)
    told = {info.name: info for info in inspector.queues() if info.name in here}
    assert {(q.finished, q.failed, q.scheduled) for q in told.values()} == {(21, 1, 1)}
    assert len(told) == 6
    assert {worker.queue for worker in inspector.workers()} >= set(here)
    assert {"echo", "fail"} <= set(inspector.functions())
    assert [inspector.check(name) for name in here] == [[]] * 6
    assert inspector.explain(handles[0].id)
    assert inspector.timeline(handles[0].id)[-1].verb == "complete"
    for number in range(3):  # each node has two of them, and only those
        with admin(cluster.ports[number]) as client:
            tags = {key.split("}")[0] for key in client.scan_iter("mq:{spread*", 1000)}
        assert tags == {f"mq:{{{name}" for name in here[2 * number : 2 * number + 2]}
    assert sent_on(cluster) == before  # all went to the right node at once
    queue.client.close()


def sent_on(cluster: Cluster) -> int:
    """How often a node has said MOVED."""
    found = 0
    for port in cluster.ports[:3]:
        with admin(port) as client:
            found += client.info("errorstats").get("errorstat_MOVED", {"count": 0})["count"]
    return found


def test_a_task_in_no_structure_is_found_on_every_node(
    cluster: Cluster, settings: Settings
) -> None:
    here = names(cluster, 1, "stray")
    queue = Queue(here[0], settings=settings)
    for name in here:
        key = queue.sibling(name).protocol.keys.task("x")
        queue.client.run(Call("HSET", (key,), ("state", "queued"), int))
        assert Inspector(queue).check(name) == ["x has a hash and is in no structure"]
    queue.client.close()


def test_the_asynchronous_client_goes_to_the_right_node(
    cluster: Cluster, settings: Settings
) -> None:
    here = names(cluster, 1, "async")
    queue = Queue(here[0], settings=settings)
    handles = [queue.sibling(name).enqueue(echo, name) for name in here]

    async def read() -> list[str]:
        client = connect_async(settings)
        calls = [Protocol(settings, name).get(h.id) for name, h in zip(here, handles, strict=True)]
        tasks = await asyncio.gather(*map(client.run, calls))
        again = [await client.run_alone(call) for call in calls]
        assert again == tasks
        assert await client.run(redis_time()) > 0
        await client.close()
        return [task.args[0] for task in tasks]

    assert asyncio.run(read()) == here
    queue.client.close()


def test_a_wrong_kind_of_url_is_told_of(cluster: Cluster, redis_url: str) -> None:
    one = connect(Settings(redis_url=f"redis://127.0.0.1:{cluster.ports[0]}"))
    name = names(cluster, 1, "kind")[2]
    with pytest.raises(BackendUnavailable, match=r"redis\+cluster://"):
        Queue(name, settings=Settings(), client=one).enqueue(echo, 1)
    one.close()
    none = connect(Settings(redis_url=redis_url.replace("redis://", "redis+cluster://")))
    with pytest.raises(BackendUnavailable, match="no node of a cluster: redis://"):
        none.run(redis_time())
    none.close()


def test_a_queue_that_moves_to_another_node_is_followed(
    cluster: Cluster, settings: Settings
) -> None:
    """Clients that know the old place are sent on, and what they send is accepted once."""
    name = names(cluster, 1, "moves")[0]
    queue, slot = Queue(name, settings=settings), slot_of(f"{{{name}}}")
    before = [queue.enqueue(echo, i).id for i in range(5)]
    loop = asyncio.new_event_loop()
    async_client = connect_async(settings)
    assert loop.run_until_complete(async_client.run(queue.protocol.get(before[0])))
    move(cluster, slot, 0, 1)
    after = [handle.id for handle in queue.enqueue_many(echo, [(i,) for i in range(5)])]
    assert loop.run_until_complete(async_client.run(queue.protocol.get(after[0])))
    loop.run_until_complete(async_client.close())
    loop.close()
    worker = Worker(queue)
    while worker.run_once():
        pass
    assert {task.id for task in Inspector(queue).tasks("succeeded").tasks} == {*before, *after}
    move(cluster, slot, 1, 0)
    queue.client.close()


def move(cluster: Cluster, slot: int, source: int, target: int) -> None:
    """Carry a slot over, as `valkey-cli --cluster reshard` does."""
    old, new = cluster.ports[source], cluster.ports[target]
    with admin(old) as from_, admin(new) as to:
        to.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id(source))
        from_.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id(target))
        while keys := from_.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            from_.execute_command("MIGRATE", "127.0.0.1", new, "", 0, 5000, "KEYS", *keys)
        for client in (to, from_):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id(target))


@contextlib.contextmanager
def working(queue: Queue) -> Iterator[None]:
    """A worker of this queue in a thread."""
    worker = Worker(queue)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def test_a_killed_primary_stops_its_queues_until_a_replica_takes_over(
    cluster: Cluster, settings: Settings, tmp_path: Path
) -> None:
    queues = [Queue(name, settings=settings) for name in names(cluster, 1, "kill")]
    diaries = [tmp_path / queue.name for queue in queues]
    with contextlib.ExitStack() as stack:
        for queue in queues:
            stack.enter_context(working(queue))
        senders = [
            Sender(queue.name, by_python(queue, diary))
            for queue, diary in zip(queues, diaries, strict=True)
        ]
        wait_for(lambda: all(len(sender.accepted) > 100 for sender in senders))
        cluster.servers[0].kill()
        killed = time.monotonic()
        wait_for(lambda: senders[0].refused)
        wait_for(lambda: senders[0].since(killed + 0.1) > 50, 15)
        for sender in senders:
            sender.stop()
        found = [
            settled(q, d, s.accepted) for q, d, s in zip(queues, diaries, senders, strict=True)
        ]
    back = min(at for _, at in senders[0].accepted.values() if at > killed + 0.1)
    print(*found, f"accepted again after {back - killed:.1f} s", sep="; ")
    tail = {m for m, (_, at) in senders[0].accepted.items() if killed - TAIL_S < at <= killed + 0.1}
    assert set(found[0].lost) <= tail
    assert [one.lost for one in found[1:]] == [[], []]
    assert all(sender.since(killed) - sender.since(back) > 50 for sender in senders[1:])
    assert [Inspector(queue).check() for queue in queues] == [[]] * 3
    for queue in queues:
        queue.client.close()
