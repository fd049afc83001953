"""Listings, queues, workers, health and the OpenAPI document."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from fastapi.testclient import TestClient

from miniqueue.api import app
from miniqueue.worker import Worker


def ids(reply: Any) -> list[str]:
    return [task["task_id"] for task in reply.json()["tasks"]]


def test_pages_cover_all_tasks_once(http: TestClient) -> None:
    sent = http.post("/tasks", json={"tasks": [{"name": "echo"}] * 25}).json()["task_ids"]
    seen: list[str] = []
    cursor = None
    while True:
        reply = http.get("/tasks", params={"limit": 10} | ({"cursor": cursor} if cursor else {}))
        assert len(ids(reply)) <= 10
        seen += ids(reply)
        cursor = reply.json()["cursor"]
        if cursor is None:
            break
    assert seen == sent


def test_tasks_by_state_and_name(http: TestClient, worker: Worker) -> None:
    http.post("/task", json={"name": "fail"})
    http.post("/task", json={"name": "echo"})
    worker.run_once()
    worker.run_once()
    http.post("/task", json={"name": "add", "args": [1, 2]})
    names = [t["name"] for t in http.get("/tasks?state=failed").json()["tasks"]]
    assert names == ["fail"]
    assert [t["name"] for t in http.get("/tasks?name=add").json()["tasks"]] == ["add"]
    assert [t["state"] for t in http.get("/tasks?state=queued").json()["tasks"]] == ["queued"]


def test_queues_in_numbers(http: TestClient, worker: Worker) -> None:
    http.post("/task", json={"name": "echo", "priority": "high"})
    http.post("/task", json={"name": "echo", "delay_s": 60})
    (info,) = http.get("/queues").json()["queues"]
    assert info["ready"] == {"high": 1, "normal": 0, "low": 0}
    assert (info["scheduled"], info["running"], info["paused"]) == (1, 0, False)
    assert info["stats"] == {"enqueue": 2}
    stats = http.get("/stats").json()
    assert (stats["queued"], stats["scheduled"], stats["workers"]) == (1, 1, 0)


def test_pause_and_resume(http: TestClient, worker: Worker) -> None:
    http.post("/task")
    assert http.post("/queues/default/pause").json() == {
        "queue": "default",
        "paused": True,
        "changed": True,
    }
    assert http.post("/queues/default/pause").json()["changed"] is False
    assert worker.run_once() == 0
    assert http.get("/queues").json()["queues"][0]["paused"] is True
    assert http.post("/queues/default/resume").json()["changed"] is True
    assert worker.run_once() == 1


def test_workers_are_listed_while_they_beat(http: TestClient, worker: Worker) -> None:
    worker.start()
    (seen,) = http.get("/workers").json()["workers"]
    assert (seen["id"], seen["queue"], seen["alive"], seen["doing"]) == ("w", "default", True, [])


def test_functions_are_listed_with_their_usage(http: TestClient) -> None:
    functions = {f["name"]: f for f in http.get("/functions").json()["functions"]}
    assert functions["add"]["usage"] == "add(x: float, y: float) -> float"
    assert functions["add"]["doc"] == "Return x + y."


def test_health_and_readiness(http: TestClient) -> None:
    assert http.get("/healthz").json()["status"] == "ok"
    ready = http.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["durability"]["survives"] == "nothing"
    assert "nothing is written to disk" in ready["durability"]["sentence"]


def test_the_root_is_the_dashboard_and_takes_nothing_from_elsewhere(http: TestClient) -> None:
    page = http.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    files = re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page.text)
    assert len(files) >= 4
    for file in files:
        reply = http.get(f"/{file}")
        assert (reply.status_code, reply.headers["content-security-policy"]) == (200, policy)
        assert reply.headers["x-content-type-options"] == "nosniff"
    # inline code and foreign addresses would be refused by that policy: there are none
    assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=|style=|https?://", page.text)


def test_the_description_takes_nothing_from_elsewhere(http: TestClient) -> None:
    page = http.get("/docs")
    policy = page.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'; style-src" in policy
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for file in [*files, "openapi.json"]:
        assert http.get(f"/{file}").status_code == 200, file


def test_the_page_needs_no_file_outside_its_folder(http: TestClient) -> None:
    assert http.get("/dashboard/../api.py").status_code == 404
    assert http.get("/dashboard/%2e%2e/api.py").status_code == 404


def test_every_route_is_described() -> None:
    described = app.openapi()["paths"]
    for path, methods in described.items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} says nothing"
    assert described["/task"]["post"]["responses"].keys() >= {"202", "409", "413", "422", "429"}
