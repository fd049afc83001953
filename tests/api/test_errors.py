"""Bad input over HTTP: what is wrong, what to do, and nothing half done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from miniqueue.api import create_app
from miniqueue.errors import STATUS, ConfigError, MiniQueueError
from miniqueue.guard import check_binding
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.settings import Settings


def problem(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body = dict(reply.json())
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


def test_an_unknown_function_names_its_nearest_neighbours(http: TestClient) -> None:
    body = problem(http.post("/task", json={"name": "sleeep"}), 422)
    assert body["nearest"][0] == "sleep"
    assert "did you mean sleep" in body["detail"]


def test_wrong_arguments_show_the_signature(http: TestClient) -> None:
    body = problem(http.post("/task", json={"name": "add", "args": [1]}), 422)
    assert body["signature"] == "add(x: float, y: float) -> float"
    assert "missing a required argument: 'y'" in body["detail"]


def test_broken_json_says_where(http: TestClient) -> None:
    headers = {"content-type": "application/json"}
    body = problem(http.post("/task", content='{"name": "add", ', headers=headers), 422)
    assert body["title"] == "Broken JSON"
    assert "character" in body["detail"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": 5}, "name"),
        ({"args": "x"}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"priority": "urgent"}, "priority"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": 1e12}, "delay_s"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"expires_s": 0}, "expires_s"),
        ({"queue": "a b"}, "queue"),
        ({"queue": "x" * 65}, "queue"),
        ({"nmae": "add"}, "nmae"),
        ([1, 2], ""),
    ],
)
def test_a_field_that_cannot_be_used_is_named(http: TestClient, body: Any, where: str) -> None:
    reply = problem(http.post("/task", json=body), 422)
    assert reply["errors"][0]["where"] == where
    assert where in reply["detail"]


def test_a_body_of_30_mb_is_refused_unread(http: TestClient) -> None:
    body = problem(http.post("/task", content=b"x" * (30 << 20)), 413)
    assert "MINIQUEUE_MAX_BODY_BYTES" in body["detail"]


def test_a_long_body_sent_in_chunks_is_refused(http: TestClient) -> None:
    chunks = (b"x" * 65_536 for _ in range(64))
    problem(http.post("/task", content=chunks), 413)


def test_a_body_sent_in_chunks_is_read(http: TestClient) -> None:
    headers = {"content-type": "application/json"}
    chunks = iter([b'{"name": "add", ', b'"args": [1, 2]}'])
    assert http.post("/task", content=chunks, headers=headers).status_code == 202


def test_bulk_is_all_or_nothing(http: TestClient, queue: Queue) -> None:
    tasks = [{"name": "add", "args": [1, 2]}, {"name": "add", "args": [1]}]
    body = problem(http.post("/tasks", json={"tasks": tasks}), 422)
    assert body["index"] == 1
    assert body["detail"].startswith("task 1 of the call: wrong arguments")
    assert Inspector(queue).tasks().tasks == []


def test_bulk_gives_an_id_a_task(http: TestClient, queue: Queue) -> None:
    tasks = [{"name": "echo", "args": [n]} for n in range(20)]
    reply = http.post("/tasks", json={"tasks": tasks})
    assert (reply.status_code, reply.json()["status"]) == (202, "submitted")
    ids = reply.json()["task_ids"]
    assert [queue.get(task_id).args for task_id in ids] == [[n] for n in range(20)]


@pytest.mark.parametrize("body", [{}, {"tasks": []}, {"tasks": [5]}, {"task": []}])
def test_a_bulk_body_that_cannot_be_used(http: TestClient, body: Any) -> None:
    problem(http.post("/tasks", json=body), 422)


def test_bulk_over_the_limit(settings: Settings, queue: Queue) -> None:
    with TestClient(create_app(replace(settings, max_bulk=3))) as http:
        body = problem(http.post("/tasks", json={"tasks": [{}] * 4}), 413)
    assert "MINIQUEUE_MAX_BULK" in body["detail"]


def test_bulk_to_two_queues_is_refused(http: TestClient) -> None:
    tasks = [{"queue": "a"}, {"queue": "b"}]
    assert "one queue" in problem(http.post("/tasks", json={"tasks": tasks}), 422)["detail"]


def test_a_full_queue_says_when_to_come_back(settings: Settings, queue: Queue) -> None:
    with TestClient(create_app(replace(settings, max_queued=2))) as http:
        assert http.post("/tasks", json={"tasks": [{}, {}]}).status_code == 202
        reply = http.post("/task")
    body = problem(reply, 429)
    assert reply.headers["retry-after"] == "1"
    assert (body["waiting"], body["limit"]) == (2, 2)


def test_redis_away_is_503_and_nothing_is_half_done() -> None:
    away = Settings(redis_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(away)) as http:
        for method, path in [
            ("POST", "/task"),
            ("GET", "/task/00"),
            ("GET", "/tasks"),
            ("GET", "/queues"),
            ("GET", "/readyz"),
        ]:
            reply = http.request(method, path)
            problem(reply, 503)
            assert reply.headers["retry-after"] == "1"
        assert http.get("/healthz").status_code == 200


def test_routes_and_methods_that_do_not_exist(http: TestClient) -> None:
    assert "/docs" in problem(http.get("/nope"), 404)["detail"]
    reply = http.put("/task")
    problem(reply, 405)
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/tasks?limit=0", "/tasks?limit=501", "/tasks?state=lost"])
def test_listing_limits(http: TestClient, path: str) -> None:
    problem(http.get(path), 422)


@pytest.mark.parametrize("path", ["/tasks?cursor=x", "/tasks?cursor=9-0", "/tasks?queue=a%20b"])
def test_listing_values_that_cannot_be_used(http: TestClient, path: str) -> None:
    problem(http.get(path), 422)


def test_pause_of_a_queue_that_does_not_exist(http: TestClient) -> None:
    assert "there are default" in problem(http.post("/queues/nope/pause"), 404)["detail"]


def test_every_error_that_a_request_can_cause_has_a_status() -> None:
    def tree(kind: type[MiniQueueError]) -> set[type[MiniQueueError]]:
        return {kind}.union(*(tree(k) for k in kind.__subclasses__()))

    elsewhere = {"MiniQueueError", "LeaseLost", "TaskFailed", "TaskCancelled"}
    elsewhere |= {"StackError", "GuessError", "NotRepeatable"}  # of the classroom
    elsewhere |= {"Moved"}  # told as any BackendUnavailable
    missing = {k.__name__ for k in tree(MiniQueueError)} - {k.__name__ for k in STATUS}
    assert missing == elsewhere


def test_tokens(settings: Settings, queue: Queue) -> None:
    guarded = replace(settings, api_token="full", read_token="read")
    with TestClient(create_app(guarded)) as http:
        assert problem(http.get("/queues"), 401)["title"] == "Token required"
        bearer = {"Authorization": "Bearer full"}
        reading = {"Authorization": "Bearer read"}
        assert http.post("/task", headers=bearer).status_code == 202
        assert http.get("/queues", headers=reading).status_code == 200
        problem(http.post("/task", headers=reading), 403)
        problem(http.get("/queues", headers={"Authorization": "Bearer wrong"}), 403)
        assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_binding(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
def test_another_address_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="MINIQUEUE_API_TOKEN"):
        check_binding(Settings(host=host))
    check_binding(Settings(host=host, api_token="secret"))
