"""What docs/reliability.md says that a failover may lose, made to happen; and what prevents it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from miniqueue.classroom.service import free_port
from miniqueue.errors import BackendUnavailable, TaskNotFound
from miniqueue.functions import echo
from miniqueue.inspector import Inspector
from miniqueue.protocol.records import Completion
from miniqueue.queue import Queue
from miniqueue.settings import Settings
from tests.nodes.servers import House, admin, housing, pongs
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20)]


class Pair:
    """A primary and its replica, whose link can be cut."""

    def __init__(self, house: House, options: Mapping[str, str]) -> None:
        self.ports = free_port(), free_port()
        of = {"replicaof": f"127.0.0.1 {self.ports[0]}"}
        options = {"repl-diskless-sync-delay": "0", **options}
        self.primary = house.server(self.ports[0], options)
        wait_for(lambda: pongs(self.ports[0]))
        house.server(self.ports[1], options | of)
        wait_for(lambda: pongs(self.ports[1]) and self.link() == "up")
        self.queue, self.heir = map(self._queue, self.ports)

    def _queue(self, port: int) -> Queue:
        return Queue(settings=Settings(redis_url=f"redis://127.0.0.1:{port}", lease_s=60))

    def link(self) -> str:
        with admin(self.ports[1]) as replica:
            return str(replica.info("replication")["master_link_status"])

    def cut(self) -> None:
        """The replica has all until now, and hears no more."""
        with admin(self.ports[0]) as primary, admin(self.ports[1]) as replica:
            assert primary.wait(1, 5000) == 1
            replica.config_set("masterauth", "one that the primary does not know")
            primary.execute_command("CLIENT", "KILL", "TYPE", "replica")
            wait_for(lambda: self.link() == "down")

    def promote(self) -> None:
        """The primary dies, and the replica takes over, as Sentinel or a cluster would have it."""
        self.primary.kill()
        with admin(self.ports[1]) as replica:
            replica.replicaof("NO", "ONE")

    def close(self) -> None:
        self.queue.client.close()
        self.heir.client.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housing(tmp_path) as house:
        yield house


def test_what_was_not_replicated_is_lost_and_a_claim_of_it_comes_again(house: House) -> None:
    pair = Pair(house, {})
    kept = [pair.queue.enqueue(echo, i).id for i in range(3)]
    pair.cut()
    late = [pair.queue.enqueue(echo, i).id for i in range(2)]
    here, there = pair.queue.client, pair.heir.client
    protocol = pair.queue.protocol
    (before,) = here.run(protocol.claim("w1", 1)).tasks
    pair.promote()
    (after,) = there.run(protocol.claim("w2", 1)).tasks
    assert (after.id, after.attempt) == (before.id, before.attempt) == (kept[0], 1)
    for task_id in late:
        with pytest.raises(TaskNotFound):
            pair.heir.get(task_id)
    # Both hold the fence 1: the first to finish has the result, and the other is turned away.
    ended = Completion(after.id, after.attempt, '"of w1"', 0, 1)
    assert there.run(protocol.complete("w1", [ended])) == [1]
    assert there.run(protocol.complete("w2", [ended._replace(result='"of w2"')])) == [0]
    assert pair.heir.get(kept[0]).result == "of w1"
    assert Inspector(pair.heir).check() == []
    pair.close()


def test_with_min_replicas_to_write_nothing_is_accepted_that_no_replica_has(house: House) -> None:
    pair = Pair(house, {"min-replicas-to-write": "1", "min-replicas-max-lag": "1"})
    kept = pair.queue.enqueue(echo, 1).id
    pair.cut()
    with pytest.raises(BackendUnavailable, match="enough replicas are back"):
        pair.queue.enqueue(echo, 2)
    pair.promote()
    with admin(pair.ports[1]) as replica:
        replica.config_set("min-replicas-to-write", 0)
    assert [task.id for task in Inspector(pair.heir).tasks().tasks] == [kept]
    assert Inspector(pair.heir).check() == []
    pair.close()
