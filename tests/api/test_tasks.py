"""Sending and following single tasks over HTTP."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker


def post(http: TestClient, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    reply = http.post("/task", json=body, headers=headers)
    assert reply.status_code in (200, 202), reply.text
    return dict(reply.json())


def test_no_body_runs_the_sample(http: TestClient, worker: Worker) -> None:
    reply = http.post("/task")
    assert reply.status_code == 202
    assert reply.json()["status"] == "submitted"
    assert reply.headers["location"] == f"/task/{reply.json()['task_id']}"
    worker.run_once()
    assert http.get(reply.headers["location"]).json()["result"] == "a sample result"


def test_a_task_goes_through_its_states(http: TestClient, worker: Worker) -> None:
    task_id = post(http, {"name": "add", "args": [2, 3]})["task_id"]
    assert http.get(f"/task/{task_id}").json()["state"] == "queued"
    worker.run_once()
    task = http.get(f"/task/{task_id}").json()
    assert (task["state"], task["result"], task["attempt"], task["worker"]) == (
        "succeeded",
        5,
        1,
        "w",
    )
    assert task["enqueued_ms"] <= task["started_ms"] <= task["finished_ms"]


def test_a_failed_task_keeps_its_traceback(http: TestClient, worker: Worker) -> None:
    task_id = post(http, {"name": "fail", "args": ["broken"]})["task_id"]
    worker.run_once()
    task = http.get(f"/task/{task_id}").json()
    assert task["state"] == "failed"
    assert task["error"]["type"] == "RuntimeError"
    assert task["error"]["message"] == "broken"
    assert "in fail" in task["error"]["traceback"]
    assert "lane.py" not in task["error"]["traceback"]


def test_options_travel_with_the_task(http: TestClient, worker: Worker) -> None:
    body = {
        "name": "add",
        "kwargs": {"x": 1, "y": 2},
        "priority": "low",
        "delay_s": 60,
        "max_attempts": 7,
        "timeout_s": 5,
        "expires_s": 90,
    }
    task = http.get(f"/task/{post(http, body)['task_id']}").json()
    assert task["state"] == "scheduled"
    assert (task["priority"], task["max_attempts"], task["timeout_s"]) == ("low", 7, 5.0)
    assert task["due_ms"] == task["enqueued_ms"] + 60_000
    assert task["expires_ms"] == task["enqueued_ms"] + 90_000
    assert task["kwargs"] == {"x": 1, "y": 2}


def test_a_task_of_another_queue_is_found_by_its_id(http: TestClient) -> None:
    task_id = post(http, {"name": "sample", "queue": "mail"})["task_id"]
    assert task_id.startswith("mail.")
    assert http.get(f"/task/{task_id}").json()["queue"] == "mail"
    assert [q["name"] for q in http.get("/queues").json()["queues"]] == ["default", "mail"]


def test_the_same_key_and_body_is_a_duplicate(http: TestClient) -> None:
    first = post(http, {"name": "add", "args": [1, 2]}, **{"Idempotency-Key": "k"})
    again = http.post(
        "/task", json={"name": "add", "args": [1, 2]}, headers={"Idempotency-Key": "k"}
    )
    assert again.status_code == 200
    assert again.json() == {"task_id": first["task_id"], "status": "duplicate"}


def test_the_same_key_with_another_body_is_refused(http: TestClient) -> None:
    first = post(http, {"name": "add", "args": [1, 2]}, **{"Idempotency-Key": "k"})
    again = http.post(
        "/task", json={"name": "add", "args": [1, 3]}, headers={"Idempotency-Key": "k"}
    )
    assert again.status_code == 409
    assert again.json()["task_id"] == first["task_id"]


def test_a_key_of_more_than_200_characters_is_refused(http: TestClient) -> None:
    reply = http.post("/task", json={}, headers={"Idempotency-Key": "k" * 201})
    assert reply.status_code == 422
    assert "Idempotency-Key" in reply.json()["detail"]


def test_results_are_not_changed_on_the_way(http: TestClient, worker: Worker) -> None:
    value = {"_sa": 1, "_sample": [None, True, 1.5], "ключ": "🙂 <b>", "nested": {"_safe": {}}}
    task_id = post(http, {"name": "echo", "args": [value]})["task_id"]
    worker.run_once()
    assert http.get(f"/task/{task_id}").json()["result"] == value
    listed = http.get("/tasks", params={"state": "succeeded"}).json()["tasks"]
    assert listed[0]["result"] == value


def test_wait_s_answers_when_the_task_ends(http: TestClient, worker: Worker) -> None:
    task_id = post(http, {"name": "add", "args": [2, 3]})["task_id"]
    replies: list[dict[str, Any]] = []
    waiting = threading.Thread(
        target=lambda: replies.append(http.get(f"/task/{task_id}", params={"wait_s": 8}).json())
    )
    waiting.start()
    worker.run_once()
    waiting.join(5)
    assert not waiting.is_alive(), "the long poll did not end with the task"
    assert replies[0]["result"] == 5


def test_wait_s_answers_with_the_state_when_time_is_up(http: TestClient) -> None:
    task_id = post(http)["task_id"]
    assert http.get(f"/task/{task_id}", params={"wait_s": 0.05}).json()["state"] == "queued"


@pytest.mark.parametrize("wait_s", ["-1", "31", "x", "nan"])
def test_a_wait_without_bounds_is_refused(http: TestClient, wait_s: str) -> None:
    task_id = post(http)["task_id"]
    assert http.get(f"/task/{task_id}", params={"wait_s": wait_s}).status_code == 422


def test_cancel_a_queued_task(http: TestClient, worker: Worker) -> None:
    task_id = post(http)["task_id"]
    reply = http.delete(f"/task/{task_id}")
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    assert worker.run_once() == 0
    assert http.get(f"/task/{task_id}").json()["state"] == "cancelled"
    assert http.delete(f"/task/{task_id}").status_code == 409


def test_cancel_a_running_task_asks_its_worker(http: TestClient, queue: Queue) -> None:
    task_id = post(http)["task_id"]
    queue.client.run(queue.protocol.claim("w", 1))
    reply = http.delete(f"/task/{task_id}")
    assert (reply.status_code, reply.json()["status"]) == (202, "cancel requested")
    assert http.get(f"/task/{task_id}").json()["cancel_requested"] is True


def test_retry_a_failed_task(http: TestClient, worker: Worker) -> None:
    task_id = post(http, {"name": "fail"})["task_id"]
    worker.run_once()
    reply = http.post(f"/task/{task_id}/retry")
    assert (reply.status_code, reply.json()["status"]) == (202, "queued")
    assert http.post(f"/task/{task_id}/retry").status_code == 409
    worker.run_once()
    assert http.get(f"/task/{task_id}").json()["attempt"] == 2


def test_logs_and_progress_are_kept(http: TestClient, settings: Settings, client: Client) -> None:
    from miniqueue.context import Context

    registry = Registry()

    @task(registry=registry)
    def talk(ctx: Context) -> None:
        ctx.log("first")
        ctx.progress(0.5, "half")
        ctx.log("second")

    queue = Queue(settings=settings, client=client, registry=registry)
    handle = queue.enqueue(talk)
    Worker(queue, registry, name="w").run_once()
    reply = http.get(f"/task/{handle.id}/logs").json()
    assert reply["lines"] == ["first", "second"]
    assert reply["progress"] == {"fraction": 0.5, "text": "half"}


def test_explain_speaks(http: TestClient) -> None:
    task_id = post(http)["task_id"]
    sentences = http.get(f"/task/{task_id}/explain").json()["sentences"]
    assert sentences[0] == "It waits in queue 'default' with priority normal, behind 0 tasks."


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/task/00"),
        ("DELETE", "/task/00"),
        ("GET", "/task/00/logs"),
        ("GET", "/task/00/explain"),
        ("POST", "/task/00/retry"),
        ("GET", "/task/mail.00"),
    ],
)
def test_an_id_that_does_not_exist(http: TestClient, method: str, path: str) -> None:
    reply = http.request(method, path)
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["title"] == "Task not found"


def test_a_function_that_only_workers_know(
    http: TestClient, settings: Settings, client: Client
) -> None:
    registry = Registry()

    @task(registry=registry, max_attempts=9)
    def resize(path: str, width: int = 100) -> str:
        return f"{path} {width}"

    worker = Worker(Queue(settings=settings, client=client, registry=registry), registry, name="w")
    worker.start()
    wrong = http.post("/task", json={"name": "resize", "args": [1, 2, 3]})
    assert wrong.json()["signature"] == "resize(path: str, width: int = 100) -> str"
    task_id = post(http, {"name": "resize", "args": ["a.png"]})["task_id"]
    worker.run_once()
    task_now = http.get(f"/task/{task_id}").json()
    assert (task_now["result"], task_now["max_attempts"]) == ("a.png 100", 9)
    assert Inspector(worker._queue).check() == []
