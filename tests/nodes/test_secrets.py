"""TLS and ACL users work, say what to do where they do not, and nothing ever shows a password."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from miniqueue import Queue, dial
from miniqueue.classroom.service import free_port, listens
from miniqueue.classroom.students import COMMANDS
from miniqueue.doctor import examine
from miniqueue.errors import BackendUnavailable, MiniQueueError
from miniqueue.functions import echo, fail, flaky, sleep
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import redis_time
from miniqueue.redis_client import connect, connect_async
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.nodes.servers import (
    MINIQUEUE,
    ROOT,
    House,
    admin,
    certificate,
    front,
    housing,
    pongs,
    with_tls,
)
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(25)]

SECRET = "pw-7f/3a#Q@s:x"  # all that has a meaning in a URL
ROOTS = "the-root-s-own-password"
LINE = re.search(r"^ACL SETUSER miniqueue (.*)$", (ROOT / "docs/redis.md").read_text(), re.M)
assert LINE is not None
RULES = LINE[1].replace(">PASSWORD", f">{SECRET}").split()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with housing(tmp_path_factory.mktemp("secrets")) as house:
        yield house


@pytest.fixture(scope="module")
def port(house: House) -> int:
    """A server with a password, and the user of docs/redis.md."""
    port = free_port()
    house.server(port, {"requirepass": ROOTS})
    wait_for(lambda: pongs(port, password=ROOTS))
    with admin(port, password=ROOTS) as root:
        root.execute_command("ACL", "SETUSER", "miniqueue", *RULES)
    return port


@pytest.fixture(scope="module")
def cert(house: House) -> Path:
    return certificate(house.folder)


@pytest.fixture
def url(port: int) -> str:
    """The address with the user's password; the namespace is emptied."""
    with admin(port, password=ROOTS) as root:
        root.flushall()
        root.execute_command("ACL", "LOG", "RESET")
    return address(port)


def address(port: int, password: str = SECRET, scheme: str = "redis", query: str = "") -> str:
    return f"{scheme}://miniqueue:{quote(password, safe='')}@127.0.0.1:{port}/0{query}"


def refused(url: str) -> str:
    """What is said by a client that cannot talk to Redis."""
    client = connect(Settings(redis_url=url))
    try:
        with pytest.raises(BackendUnavailable) as caught:
            client.run(Queue(client=client).protocol.roster.specs())
    finally:
        client.close()
    return str(caught.value)


# -- TLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a front", "the server"])
def test_tls_is_spoken_with_a_server_whose_certificate_is_known(
    who: str, house: House, port: int, cert: Path, url: str
) -> None:
    at = front(house, port, cert) if who == "a front" else with_tls(house, cert, {})
    password = SECRET if who == "a front" else ""
    user = f"miniqueue:{quote(password, safe='')}@" if password else ""
    known = f"rediss://{user}127.0.0.1:{at}/0?ssl_ca_certs={cert}"
    settings = Settings(redis_url=known)
    queue = Queue(settings=settings)
    handle = queue.enqueue(echo, "over TLS")
    assert Worker(queue).run_once() == 1
    assert handle.wait(timeout_s=5) == "over TLS"
    queue.client.close()
    strange = refused(f"rediss://{user}127.0.0.1:{at}")
    assert "ssl_ca_certs=FILE" in strange
    other = refused(known.replace("127.0.0.1", "localhost"))
    assert "use the name in its certificate" in other
    assert SECRET not in strange + other


def test_tls_to_a_port_that_speaks_none(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis waits for the end of a line that never comes."""
    monkeypatch.setattr(dial, "SOCKET_TIMEOUT_S", 0.3)
    assert "a port that speaks TLS?" in refused(address(port, scheme="rediss"))


def test_the_asynchronous_client_speaks_tls_too(
    house: House, port: int, cert: Path, url: str
) -> None:
    at = front(house, port, cert)

    async def ask(query: str) -> int:
        settings = Settings(redis_url=address(at, scheme="rediss", query=query))
        client = connect_async(settings)
        try:
            return await client.run(redis_time())
        finally:
            await client.close()

    assert asyncio.run(ask(f"?ssl_ca_certs={cert}")) > 0
    with pytest.raises(BackendUnavailable, match="ssl_ca_certs=FILE"):
        asyncio.run(ask(""))


# -- users -----------------------------------------------------------------------------------------


def named() -> set[str]:
    """The commands that the scripts and modules of core and faces name."""
    found = {"evalsha", "script|load", "cluster|slots", "eval"}
    for file in (ROOT / "miniqueue/protocol/lua").glob("*.lua"):
        found |= {word.lower() for word in re.findall(r"redis\.p?call\('(\w+)'", file.read_text())}
    for file in [*(ROOT / "miniqueue").glob("*.py"), *(ROOT / "miniqueue/protocol").glob("*.py")]:
        words = re.findall(r"(?:Call\(\s*|of_set\([^,]+, )\"([A-Z]+)\"", file.read_text())
        found |= {word.lower() for word in words} - {"cluster", "config"}
    return found


def test_the_line_has_each_command_that_is_named_and_no_other() -> None:
    allowed = {rule[1:] for rule in RULES if rule.startswith("+")}
    assert allowed == named()
    students = {word[1:] for word in COMMANDS.split() if word.startswith("+")}
    assert students == allowed - {"cluster|slots"}  # a class has one Redis


def test_all_of_a_queue_works_as_this_user(port: int, url: str) -> None:
    queue = Queue(settings=Settings(redis_url=url, lease_s=0.5))
    worker, inspector = Worker(queue), Inspector(queue)
    worker.start()
    handles = queue.enqueue_many(echo, [(i,) for i in range(10)])
    failed = queue.enqueue(fail.options(max_attempts=1))
    queue.enqueue(flaky.options(after=(handles[0].id,)), 1)
    queue.enqueue(echo.options(delay_s=60, idempotency_key="k"), 1)
    queue.cancel(queue.enqueue(sleep, 9).id)
    while worker.run_once():
        pass
    worker.beat()
    queue.retry(failed.id)
    queue.pause()
    queue.resume()
    assert handles[3].wait(timeout_s=5) == 3
    assert list(handles[3].stream(timeout_s=1)) == []
    assert inspector.check() == []
    told = [inspector.queues(), inspector.workers(), inspector.functions(), inspector.events()]
    assert all(told)
    assert inspector.tasks("succeeded").tasks
    assert inspector.logs(failed.id) == []
    assert inspector.explain(failed.id)
    queue.client.close()
    with admin(port, password=ROOTS) as root:
        denied = {entry["object"] for entry in root.acl_log()}
    assert denied <= {"client|setinfo"}


def test_this_user_may_do_nothing_else(port: int, url: str) -> None:
    raw: Any = connect(Settings(redis_url=url)).raw
    with admin(port, password=ROOTS) as root:
        root.set("another", 1)
    for words in (
        ["GET", "another"],
        ["EVAL", "return redis.call('GET', 'another')", 0],
        ["FLUSHALL"],
        ["CONFIG", "GET", "requirepass"],
        ["KEYS", "*"],
        ["ACL", "WHOAMI"],
        ["PUBLISH", "c", "m"],
        ["SCRIPT", "FLUSH"],
    ):
        with pytest.raises(Exception, match=r"(?i)permission|can't"):
            raw.execute_command(*words)
    raw.close()


def test_a_command_that_is_missing_is_told_of(port: int, url: str) -> None:
    with admin(port, password=ROOTS) as root:
        root.execute_command("ACL", "SETUSER", "reader", "on", f">{SECRET}", "~mq:*", "-@all")
    assert "docs/redis.md" in refused(url.replace("miniqueue:", "reader:"))


# -- secrets ---------------------------------------------------------------------------------------


def spoken(commands: Mapping[str, tuple[list[str], str]]) -> dict[str, str]:
    """What these commands print, each with its MINIQUEUE_REDIS_URL; all at once."""
    running = {
        name: subprocess.Popen(
            [*MINIQUEUE, *words],
            env={**os.environ, "MINIQUEUE_REDIS_URL": url, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, (words, url) in commands.items()
    }
    return {name: process.communicate(timeout=20)[0] for name, process in running.items()}


def test_commands_never_show_the_password_and_say_what_is_wrong(port: int, url: str) -> None:
    wrong, broken = address(port, SECRET + "x"), url.replace("/0", "/none")
    told = spoken(
        {
            "submit": (["submit", "echo", "1"], wrong),
            "doctor": (["doctor"], wrong),
            "worker": (["worker"], broken),
        }
    )
    assert "password in MINIQUEUE_REDIS_URL is wrong" in told["submit"]
    assert "password in MINIQUEUE_REDIS_URL is wrong" in told["doctor"]
    assert "number of the database" in told["worker"]
    for name, text in told.items():
        hidden(text, name)
        assert "Traceback" not in text, name


def test_doctor_tells_of_redis_without_showing_the_password(port: int, url: str) -> None:
    urls = {"answers": url, "refused": address(free_port()), "number": url.replace("/0", "/none")}
    for word, one in urls.items():
        found = [finding for finding in examine(Settings(redis_url=one)) if word in str(finding)]
        assert found, word
        hidden(repr(found))


def test_services_never_show_the_password(house: House, port: int, url: str) -> None:
    wrong, http, closed = address(port, SECRET + "x"), free_port(), free_port()
    api = [*MINIQUEUE, "api", "--port"]
    right = {"MINIQUEUE_REDIS_URL": url}
    house.start("api-right", [*api, str(http)], right)
    house.start("api-wrong", [*api, str(closed)], {"MINIQUEUE_REDIS_URL": wrong})
    house.start("worker-right", [*MINIQUEUE, "worker"], right)
    house.start("worker-wrong", [*MINIQUEUE, "worker"], {"MINIQUEUE_REDIS_URL": wrong})
    wait_for(lambda: listens(http) and listens(closed))
    bodies = []
    with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=10) as door:
        sent = [door.post("/task", json={"name": name}) for name in ("sample", "fail")]
        ids = [answer.json()["task_id"] for answer in sent]
        wait_for(lambda: door.get(f"/task/{ids[0]}").json()["state"] == "succeeded")
        paths = [f"/task/{i}{more}" for i in ids for more in ("", "/logs", "/explain")]
        paths += ["/", "/readyz", "/healthz", "/queues", "/workers", "/stats", "/tasks", "/metrics"]
        bodies += [door.get(path).text for path in [*paths, "/openapi.json"]]
    with httpx.Client(base_url=f"http://127.0.0.1:{closed}", timeout=10) as door:
        away = door.get("/readyz")
        bodies += [away.text, door.post("/task").text, door.get("/queues").text]
    assert away.status_code == 503
    assert "password in MINIQUEUE_REDIS_URL is wrong" in away.text
    log = house.folder / "worker-wrong.log"
    wait_for(lambda: "password in MINIQUEUE_REDIS_URL is wrong; trying again" in log.read_text())
    with admin(port, password=ROOTS) as root:
        kept = []
        for key in root.scan_iter("*", 1000):
            kind = root.type(key)
            read = {"hash": root.hgetall, "stream": root.xrange}.get(str(kind))
            kept.append(f"{key} {read(key) if read else ''}")
    logs = [file.read_text() for file in house.folder.glob("*.log")]
    assert len(kept) > 5
    for text in [*bodies, *kept, *logs]:
        hidden(text)


def test_errors_and_objects_never_show_the_password(port: int, url: str) -> None:
    queue = Queue(settings=Settings(redis_url=address(port, SECRET + "x")))
    with pytest.raises(MiniQueueError) as caught:
        queue.enqueue(echo, 1)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    hidden(" ".join(f"{error!r} {getattr(error, 'args', '')}" for error in chain))
    hidden(
        f"{queue!r} {queue.settings!r} {queue.client.raw!r} {queue.client.raw.connection_pool!r}"
    )
    queue.client.close()


def hidden(text: str, where: str = "") -> None:
    """Neither password is in it, as it is or as a URL has it."""
    for secret in (SECRET, quote(SECRET, safe=""), quote(SECRET), ROOTS, SECRET[:6]):
        assert secret not in text, where
