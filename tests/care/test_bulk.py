"""Tasks from lines of JSON, on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from miniqueue.bulk import send_lines
from miniqueue.cli import main
from miniqueue.errors import PayloadError
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import default_registry
from miniqueue.worker import Worker


def test_a_file_of_tasks(
    queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", queue.settings.redis_url)
    lines = [{"name": "add", "args": [n, n], "priority": "low"} for n in range(3)]
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n{}\n")
    assert main(["bulk", str(file)]) == 0
    ids = capsys.readouterr().out.split()
    assert [queue.get(i).name for i in ids] == ["add", "add", "add", "sample"]
    assert queue.get(ids[0]).priority == "low"
    monkeypatch.setattr("sys.stdin", io.StringIO('{"name": "echo"}\n'))
    assert main(["bulk", "-", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"args": 1}', "line 2: args is a list"),
        ('{"name": "ad"}', "did you mean add?"),
        ('{"name": "add"}', "missing a required argument"),
        ('{"delay": 5}', "no option is called 'delay'"),
        ('{"queue": "mail"}', "say --queue mail"),
    ],
)
def test_a_line_that_cannot_be_is_named_and_nothing_is_sent(
    queue: Queue, line: str, said: str
) -> None:
    sender = Queue(settings=queue.settings, client=queue.client, registry=default_registry)
    with pytest.raises(PayloadError, match="line 2") as refused:
        send_lines(sender, ['{"name": "sample"}', line])
    assert said in str(refused.value)
    assert Inspector(queue).tasks().tasks == []


def test_workers_tell_what_became_of_their_runs(queue: Queue) -> None:
    sender = Queue(settings=queue.settings, client=queue.client, registry=default_registry)
    worker = Worker(sender, default_registry, name="w")
    send_lines(sender, ['{"name": "echo"}', '{"name": "fail"}', '{"name": "flaky"}'])
    for _ in range(3):
        worker.run_once()
    worker.beat()
    (told,) = Inspector(queue).workers()
    counts = {n: {k: v for k, v in c.items() if k != "seconds"} for n, c in told.runs.items()}
    assert counts == {"echo": {"succeeded": 1}, "fail": {"failed": 1}, "flaky": {"retried": 1}}
    assert all(runs["seconds"] >= 0 for runs in told.runs.values())
