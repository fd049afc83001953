"""The command line in this process: what it prints, and its exit codes."""

from __future__ import annotations

import json
import threading

import pytest

from miniqueue.cli import main
from miniqueue.functions import add, echo, fail
from miniqueue.queue import Queue
from miniqueue.registry import default_registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, settings: Settings, queue: Queue) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", settings.redis_url)


@pytest.fixture
def worker(queue: Queue) -> Worker:
    return Worker(queue, default_registry, name="w")


def test_submit_prints_the_id(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "add", "2", "3", "--priority", "high"]) == 0
    task = queue.get(capsys.readouterr().out.strip())
    assert (task.name, task.args, task.priority) == ("add", [2, 3], "high")


def test_submit_reads_json_and_takes_the_rest_as_text(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "echo", '{"a": [1]}', "--json"]) == 0
    assert queue.get(json.loads(capsys.readouterr().out)["task_id"]).args == [{"a": [1]}]
    assert main(["submit", "echo", "plain words"]) == 0
    assert queue.get(capsys.readouterr().out.strip()).args == ["plain words"]


def test_submit_waits_for_the_result(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert main(["submit", "add", "2", "3", "--wait", "8"]) == 0
        assert capsys.readouterr().out.strip() == "5"
        assert main(["submit", "fail", "--wait", "8"]) == 1
        assert "RuntimeError" in capsys.readouterr().err
    finally:
        worker.stop()
        thread.join()


def test_a_wait_that_is_too_short_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "add", "2", "3", "--wait", "0.01"]) == 1
    assert "is queued after 0.01 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["submit", "ad"], 1, "did you mean add?"),
        (["submit", "add", "1"], 1, "call it as add(x: float, y: float) -> float"),
        (["submit", "add", "1", "2", "--delay-s", "-1"], 2, "delay_s=-1.0 is out of bounds"),
        (["submit", "add", "1", "2", "--import", "no.such"], 2, "cannot import 'no.such'"),
        (["explain", "00"], 1, "no task has the id '00'"),
        (["cancel", "00"], 1, "no task has the id"),
        (["retry", "00"], 1, "no task has the id"),
        (["inspect", "task", "00"], 1, "no task has the id"),
        (["inspect", "tasks", "--state", "lost"], 2, "there are deferred, scheduled"),
        (["inspect", "tasks", "--queue", "a b"], 2, "use 1 to 64 letters"),
        (["api", "--host", "0.0.0.0"], 2, "MINIQUEUE_API_TOKEN"),
        (["worker", "--concurrency", "0"], 2, "MINIQUEUE_CONCURRENCY=0 is out of bounds"),
        (["worker", "--import", "no.such"], 2, "cannot import 'no.such'"),
        (["up", "--workers", "-1"], 2, "say 0 to 256"),
    ],
)
def test_errors_are_one_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("miniqueue: ")
    assert err.count("\n") == 1


def test_redis_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["inspect", "queues"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_usage_errors_exit_with_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["frobnicate"])
    assert stop.value.code == 2


def test_cancel_and_retry(queue: Queue, worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    waiting, broken = queue.enqueue(echo), queue.enqueue(fail)
    assert main(["cancel", waiting.id]) == 0
    assert main(["cancel", waiting.id]) == 1
    worker.run_once()
    assert main(["retry", broken.id]) == 0
    assert broken.state == "queued"
    assert main(["explain", broken.id]) == 0
    assert "behind 0 tasks" in capsys.readouterr().out


LISTINGS = ["tasks", "queues", "workers", "events", "check"]


@pytest.mark.parametrize("what", LISTINGS)
def test_every_listing_prints_a_table_and_json(
    what: str, queue: Queue, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.enqueue(add, 1, 2)
    worker.start()
    assert main(["inspect", what]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["inspect", what, "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_a_task_is_shown_with_its_timeline(
    queue: Queue, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = queue.enqueue(add, 1, 2)
    worker.run_once()
    assert main(["inspect", "task", handle.id]) == 0
    out = capsys.readouterr().out
    assert "succeeded" in out
    assert [verb for verb in ("enqueue", "claim", "complete") if verb in out] == [
        "enqueue",
        "claim",
        "complete",
    ]
    assert main(["inspect", "task", handle.id, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["timeline"]) == 3


def test_pages_go_on_where_they_ended(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.enqueue_many(echo, [()] * 3)
    main(["inspect", "tasks", "--limit", "2", "--json"])
    cursor = json.loads(capsys.readouterr().out)["cursor"]
    main(["inspect", "tasks", "--cursor", cursor, "--json"])
    assert len(json.loads(capsys.readouterr().out)["tasks"]) == 1


def test_check_exits_with_1_when_something_is_off(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = queue.enqueue(echo)
    queue.client.raw.delete(queue.protocol.keys.ready[1])
    assert main(["inspect", "check"]) == 1
    assert handle.id in capsys.readouterr().out


def test_xray_shows_an_operation_from_inside(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xray", "claim"]) == 0
    assert "LPOP M:ready:high" in capsys.readouterr().out
    assert main(["xray", "clame"]) == 2
    assert "claim" in capsys.readouterr().err
