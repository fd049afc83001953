"""The primary is killed under load: Sentinel names another, and all goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from miniqueue.classroom.service import free_port, listens
from miniqueue.errors import BackendUnavailable
from miniqueue.functions import echo
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import Call, redis_time
from miniqueue.queue import Queue
from miniqueue.redis_client import connect, connect_async
from miniqueue.settings import Settings
from tests.nodes.load import Sender, by_python, settled
from tests.nodes.servers import MINIQUEUE, SERVICE, House, Watched, admin, housing, pongs
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40)]

LEASE_S = 1.0
TAIL_S = 0.5  # what was accepted so shortly before the primary died may be lost


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with housing(tmp_path) as house:
        yield house


@pytest.fixture
def watched(house: House) -> Watched:
    watched = Watched(house)
    watched.start()
    return watched


def by_http(door: httpx.Client, diary: Path) -> Sender:
    def send(mark: str) -> str:
        answer = door.post("/task", json={"name": "note", "args": [str(diary), mark]})
        if answer.status_code == 503:
            raise BackendUnavailable(answer.text)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    return Sender("http", send)


def test_nothing_but_the_tail_is_lost_and_all_goes_on_after_a_failover(
    house: House,
    watched: Watched,
    record_property: pytest.RecordProperty,  # type: ignore[name-defined]
) -> None:
    settings = Settings(redis_url=watched.url, lease_s=LEASE_S)
    queue, diary, http = Queue(settings=settings), house.folder / "diary", free_port()
    for name in ("w1", "w2"):
        command = [*MINIQUEUE, "worker", "--name", name, "--import", "tests.nodes.jobs"]
        house.start(name, command, settings.environ())
    house.start("api", [*MINIQUEUE, "api", "--port", str(http)], settings.environ())
    inspector = Inspector(queue)
    wait_for(lambda: len(inspector.workers()) == 2 and listens(http))
    door = httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=10)
    senders = [Sender("python", by_python(queue, diary)), by_http(door, diary)]
    wait_for(lambda: all(len(sender.accepted) > 100 for sender in senders))

    old = watched.primary()
    watched.servers[0].kill()
    killed = time.monotonic()
    wait_for(lambda: watched.primary() != old, 15)
    promoted = time.monotonic()
    wait_for(lambda: all(sender.since(promoted) > 50 for sender in senders))
    for sender in senders:
        sender.stop()
    accepted = senders[0].accepted | senders[1].accepted

    found = settled(queue, diary, accepted)
    back = [min(at for _, at in s.accepted.values() if at > killed) - killed for s in senders]
    told = f"{found}; accepted again after {back[0]:.1f} and {back[1]:.1f} s"
    print(told)
    tail = {mark for mark, (_, at) in accepted.items() if killed - TAIL_S < at <= killed}
    assert set(found.lost) <= tail, told
    assert set(found.twice) <= {m for m, (_, at) in accepted.items() if at < promoted}
    assert found.done + len(found.lost) == found.accepted
    assert inspector.check() == []
    queue.client.close()
    door.close()


def test_a_primary_that_was_replaced_and_lives_is_left_within_seconds(watched: Watched) -> None:
    """It takes tasks that nobody will find, until Sentinel has made a replica of it: some 10 s."""
    settings = Settings(redis_url=watched.url)
    queue, loop = Queue(settings=settings), asyncio.new_event_loop()
    client = connect_async(settings)
    first = queue.enqueue(echo, 1).id
    assert loop.run_until_complete(client.run(queue.protocol.get(first)))
    with admin(watched.ports[2]) as sentinel:
        sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
    wait_for(lambda: watched.primary() == watched.ports[1])
    with admin(watched.ports[1]) as new, admin(watched.ports[0]) as old:
        wait_for(lambda: new.exists(queue.protocol.keys.task(queue.enqueue(echo, 2).id)), 4)
        new.set("where", "new")
        where: Call[str] = Call("GET", ("where",), (), str)
        wait_for(lambda: loop.run_until_complete(client.run(where)) == "new", 4)
        assert old.execute_command("ROLE")[0] == "master"  # it still would take tasks
    loop.run_until_complete(client.close())
    loop.close()
    queue.client.close()


def test_what_is_said_where_sentinel_does_not_help(house: House) -> None:
    """Without what redis-py knows of each Sentinel: in its older versions that has passwords."""
    lonely = Watched(house)
    port = lonely.ports[2]
    lonely.sentinel(port)
    wait_for(lambda: pongs(port))
    at = f"redis+sentinel://me:hush@127.0.0.1:{port}"
    assert "compare the name" in refused(f"{at}/other")
    assert "does not answer" in refused(f"{at.replace(str(port), str(free_port()))}/{SERVICE}")
    with admin(port) as sentinel:
        sentinel.execute_command("ACL", "SETUSER", "default", "resetpass", ">another")
    assert "?sentinel_password=" in refused(f"{at}/{SERVICE}")
    assert "?sentinel_password=" in refused(f"{at}/{SERVICE}?sentinel_password=hush")
    assert "compare the name" in refused(f"{at}/other?sentinel_password=another")


def refused(url: str) -> str:
    """What is said by a client that cannot talk to Redis."""
    client = connect(Settings(redis_url=url))
    with pytest.raises(BackendUnavailable) as caught:
        client.run(redis_time())
    client.close()
    assert "hush" not in str(caught.value)
    assert "ConnectionPool" not in str(caught.value)
    return str(caught.value)
