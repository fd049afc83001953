"""Failed tasks: retry all that match, purge; over Python, HTTP and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from miniqueue.api import create_app
from miniqueue.cli import main
from miniqueue.failed import purge_failed, retry_failed
from miniqueue.functions import echo, fail
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import Call
from miniqueue.queue import Queue
from miniqueue.registry import default_registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker


@pytest.fixture
def failed(queue: Queue) -> Queue:
    """Three failed `fail`, two failed `echo`."""
    worker = Worker(queue, default_registry, name="w")
    for _ in range(3):
        queue.enqueue(fail)
    for _ in range(2):
        queue.enqueue(echo.options(max_attempts=1), 1)
    for handle in Inspector(queue).tasks(name="echo").tasks:
        queue.client.raw.hset(queue.protocol.keys.task(handle.id), "args", '["one","too many"]')
    for _ in range(5):
        worker.run_once()
    assert len(Inspector(queue).tasks("failed").tasks) == 5
    return queue


@pytest.fixture
def http(settings: Settings, failed: Queue) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as http:
        failed.client.run(failed.protocol.roster.register(failed.name))
        yield http


def counts(queue: Queue) -> tuple[int, int]:
    info = Inspector(queue).queue_info(queue.name)
    return info.failed, info.waiting


def test_retry_all_and_all_of_one_function(failed: Queue) -> None:
    assert retry_failed(failed, "fail") == 3
    assert counts(failed) == (2, 3)
    assert retry_failed(failed) == 2
    assert counts(failed) == (0, 5)
    assert Inspector(failed).check() == []


def test_purge_forgets_everything_of_a_task(failed: Queue) -> None:
    ids = [task.id for task in Inspector(failed).tasks("failed", name="echo").tasks]
    assert purge_failed(failed, "echo") == 2
    assert not [k for k in failed.client.raw.keys("*") if any(i in k for i in ids)]
    assert purge_failed(failed) == 3
    assert counts(failed) == (0, 0)
    assert purge_failed(failed) == 0


def test_more_than_a_page(queue: Queue) -> None:
    queue.enqueue_many(fail, [()] * 250)
    worker = Worker(queue, default_registry, name="w")
    while Inspector(queue).queue_info(queue.name).waiting:
        worker.run_once()
    assert retry_failed(queue) == 250


def test_over_http(http: TestClient, failed: Queue) -> None:
    reply = http.post("/queues/default/failed/retry", params={"name": "fail"})
    assert reply.json() == {"queue": "default", "retried": 3}
    assert http.delete("/queues/default/failed").json() == {"queue": "default", "purged": 2}
    assert http.post("/queues/nope/failed/retry").status_code == 404
    assert counts(failed) == (0, 3)


def test_schedules_over_http(http: TestClient) -> None:
    body = {"cron": "0 7 * * *", "name": "add", "args": [1, 2], "timezone": "Europe/Berlin"}
    made = http.put("/queues/default/cron/sums", json=body)
    assert made.status_code == 200
    (listed,) = http.get("/queues/default/cron").json()["schedules"]
    assert listed == made.json()
    assert http.put("/queues/default/cron/sums", json={**body, "cron": "x"}).status_code == 422
    assert http.put("/queues/default/cron/sums", json={**body, "args": [1]}).status_code == 422
    assert http.put("/queues/default/cron/a%20b", json=body).status_code == 422
    assert http.delete("/queues/default/cron/sums").json()["removed"] is True
    assert http.delete("/queues/default/cron/sums").status_code == 404


def test_on_the_command_line(
    failed: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", failed.settings.redis_url)
    assert main(["failed", "list"]) == 0
    assert "it fails, as asked" in capsys.readouterr().out
    assert main(["failed", "retry", "--name", "fail", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"retried": 3}
    assert main(["failed", "purge"]) == 0
    assert "2 tasks are forgotten" in capsys.readouterr().out
    assert main(["cron", "set", "sums", "0 7 * * *", "add", "1", "2"]) == 0
    assert "07:00 UTC" in capsys.readouterr().out
    assert main(["cron", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["task"]["args"] == "[1,2]"
    assert main(["cron", "set", "sums", "x", "add", "1", "2"]) == 2
    assert main(["cron", "remove", "sums"]) == 0
    assert main(["cron", "remove", "sums"]) == 1
    assert main(["pause"]) == 0
    assert main(["pause"]) == 0
    assert "was paused" in capsys.readouterr().out
    assert main(["resume"]) == 0


def test_logs_and_output_on_the_command_line(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", queue.settings.redis_url)
    handle = queue.enqueue(echo, 1)
    Worker(queue, default_registry, name="w").run_once()
    keys = queue.protocol.keys
    queue.client.raw.rpush(keys.logs(handle.id), "a line")
    queue.client.raw.xadd(keys.output(handle.id), {"piece": "a piece", "attempt": 1})
    assert main(["logs", handle.id]) == 0
    assert main(["output", handle.id]) == 0
    assert capsys.readouterr().out.split("\n") == ["a line", "a piece", ""]
    assert main(["output", "00"]) == 1


def test_tasks_that_fail_again_meanwhile_are_not_retried_again(
    failed: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may fail them again faster than the call looks at the rest."""
    worker, retry = Worker(failed, default_registry, name="w2"), failed.protocol.retry

    def retry_and_run(task_id: str) -> Call[str]:
        worker.run_once()
        return retry(task_id)

    monkeypatch.setattr(failed.protocol, "retry", retry_and_run)
    assert retry_failed(failed) == 5


def test_a_purged_task_frees_its_idempotency_key(queue: Queue) -> None:
    keyed = fail.options(idempotency_key="k")
    first = queue.enqueue(keyed)
    Worker(queue, default_registry, name="w").run_once()
    assert purge_failed(queue) == 1
    assert queue.enqueue(keyed).id != first.id
