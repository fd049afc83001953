"""A class on one Redis: nobody sees, changes or crowds out what is another's."""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fastapi.testclient import TestClient

from miniqueue.api import create_app
from miniqueue.classroom.door import Door
from miniqueue.classroom.students import LIMITS, Class, Entry, new_class, redis_users
from miniqueue.cli import main
from miniqueue.errors import BackendUnavailable, ConfigError
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.api.live import listening, serving

LOW = {**LIMITS, "max_queued": 2, "max_queues": 2}


@pytest.fixture
def made(settings: Settings, client: Client) -> tuple[Class, list[Entry]]:
    return new_class("spring", 3, settings, LOW)


@pytest.fixture
def http(made: tuple[Class, list[Entry]], settings: Settings) -> Iterator[TestClient]:
    with TestClient(Door(made[0], settings)) as http:
        yield http


def as_student(entry: Entry) -> dict[str, str]:
    return {"Authorization": f"Bearer {entry.token}"}


def test_what_one_does_no_other_sees(
    http: TestClient, made: tuple[Class, list[Entry]], settings: Settings
) -> None:
    ada, bob, _ = made[1]
    sent = http.post("/task", json={"name": "echo", "args": ["secret"]}, headers=as_student(ada))
    task_id = sent.json()["task_id"]
    own = Queue(settings=replace(settings, namespace=ada.student))
    Worker(own, name="w1").run_once()
    assert http.get(f"/task/{task_id}", headers=as_student(ada)).json()["result"] == "secret"
    paths = [
        (method.upper(), re.sub(r"{task_id}", task_id, path).replace("{queue}", "default"))
        for path, methods in create_app().openapi()["paths"].items()
        for method in methods
        if "events" not in path and "live" not in path
    ]
    assert len(paths) > 20
    for method, path in paths:
        reply = http.request(method, path.replace("{schedule_name}", "x"), headers=as_student(bob))
        assert "secret" not in reply.text
        if task_id in path:
            assert reply.status_code == 404, (method, path)
    assert http.get(f"/task/{task_id}", headers=as_student(ada)).status_code == 200
    assert http.get("/workers", headers=as_student(bob)).json() == {"workers": []}


def test_a_stream_opens_with_a_ticket_of_its_student_alone(
    made: tuple[Class, list[Entry]], settings: Settings
) -> None:
    ada, bob, _ = made[1]
    with serving(Door(made[0], settings)) as url, TestClient(Door(made[0], settings)) as other:
        told = httpx.post(f"{url}/tickets", headers=as_student(ada)).json()["ticket"]
        with listening(f"{url}/events?ticket={told}") as messages:
            httpx.post(f"{url}/task", headers=as_student(bob))
            sent = httpx.post(f"{url}/task", headers=as_student(ada)).json()["task_id"]
            assert sent in str(next(messages).data)
        for forged in ("9" * 5000, told[:-1] + "x", "", "²."):
            assert httpx.get(f"{url}/events", params={"ticket": forged}).status_code == 401
        assert httpx.get(f"{url}/tasks?ticket={told}").status_code == 401
        assert other.get(f"/events?ticket={told}").status_code == 401  # nobody has come there yet


def test_strangers_are_refused_and_slowed_down(
    made: tuple[Class, list[Entry]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miniqueue.classroom.door.STRANGE_A_SECOND", 0.01)  # one at once
    wrong = {"Authorization": "Bearer x"}
    with TestClient(Door(made[0], settings)) as http:
        for path in ("/", "/healthz", "/docs", "/docs/swagger-ui.css", "/openapi.json"):
            assert http.get(path).status_code == 200
        assert http.get("/tasks", headers=wrong).status_code == 403
        assert http.get("/tasks", headers=wrong).status_code == 429
        assert http.get("/queues").status_code == 429
        assert http.get("/tasks", headers=as_student(made[1][0])).status_code == 200


def test_limits_are_each_students_own(http: TestClient, made: tuple[Class, list[Entry]]) -> None:
    ada, bob, _ = made[1]
    codes = [http.post("/task", headers=as_student(ada)).status_code for _ in range(3)]
    assert codes == [202, 202, 429]
    assert http.post("/task", headers=as_student(bob)).status_code == 202
    reply = [
        http.post("/task", json={"queue": name}, headers=as_student(bob)) for name in ("a", "b")
    ]
    assert [r.status_code for r in reply] == [202, 422]
    assert "MINIQUEUE_MAX_QUEUES" in reply[1].json()["detail"]


def test_a_redis_user_reaches_its_own_keys_and_no_others(
    made: tuple[Class, list[Entry]], settings: Settings, client: Client, registry: Registry
) -> None:
    ada, bob, _ = made[1]
    for line in redis_users(made[0]):
        client.raw.execute_command(*line.split())
    try:
        own = replace(settings, redis_url=ada.redis_url, namespace=ada.student)
        queue = Queue(settings=own)
        handle = queue.enqueue("echo", 1)
        worker = Worker(queue)
        worker.start()
        worker.run_once()
        worker.beat()
        assert handle.wait(1) == 1
        inspector = Inspector(queue)
        assert inspector.check() == []
        assert [info.name for info in inspector.queues()] == ["default"]
        others = Queue(settings=replace(own, namespace=bob.student))
        with pytest.raises(BackendUnavailable, match=r"(?i)no permission"):
            others.enqueue("echo", 1)
        raw = redis.Redis.from_url(ada.redis_url)
        for words in ("FLUSHALL", "CONFIG GET *", "ACL LIST", f"GET {bob.student}:x", "KEYS *"):
            with pytest.raises(redis.exceptions.ResponseError):
                raw.execute_command(*words.split())  # type: ignore[no-untyped-call]
        raw.close()
        queue.client.close()
        others.client.close()
    finally:
        for student in made[0].students:
            client.raw.acl_deluser(student.name)


def test_the_file_has_no_secret_and_is_its_owners(
    made: tuple[Class, list[Entry]], tmp_path: Path
) -> None:
    found, sheet = made
    file = tmp_path / "spring.class.json"
    found.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(e.token in file.read_text() or e.redis_url in file.read_text() for e in sheet)
    assert Class.load(file) == found
    with pytest.raises(ConfigError, match="not made twice"):
        found.save(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no class file"),
        ("[]", "is no class file"),
        ('{"name": "x", "students": [{}], "limits": {}}', "is no class file"),
        ('{"name": "a b", "students": [], "limits": {}}', "class 'a b'"),
        ('{"name": "x", "students": [], "limits": {"host": 1}}', "'host' is not a setting with"),
        ('{"name": "x", "students": [], "limits": {"max_queued": 0}}', "MINIQUEUE_MAX_QUEUED=0"),
    ],
)
def test_a_broken_file_is_explained(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        Class.load(file)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["class", "new", "--students", "30", "--name", "spring", "--out", str(tmp_path)]
    assert main([*words, "--max-queued", "7"]) == 0
    told = capsys.readouterr()
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(told.out)))
    assert [row["student"] for row in rows][::29] == ["spring-01", "spring-30"]
    assert len({row["token"] for row in rows} | {row["redis_url"] for row in rows}) == 60
    file = tmp_path / "spring.class.json"
    assert Class.load(file).limits["max_queued"] == 7
    assert str(file) in told.err
    assert main(["class", "redis", str(file)]) == 0
    assert capsys.readouterr().out.count("ACL SETUSER spring-") == 30
    assert main(words) == 2
    assert main(["class", "serve", str(tmp_path / "none.json")]) == 2
    assert main(["class", "new", "--students", "501", "--out", str(tmp_path)]) == 2
    assert "a class has 1 to 500" in capsys.readouterr().err
