"""`miniqueue up` and its kind: real commands in real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from miniqueue.classroom.service import free_port
from tests.processes import family, gone, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    log = tmp_path / "up.log"
    command = [
        sys.executable,
        "-m",
        "miniqueue",
        "up",
        "--workers",
        "1",
        "--port",
        str(free_port()),
    ]
    environ = {**os.environ, "MINIQUEUE_LEASE_S": "1"}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True, env=environ)
    wait_for(lambda: "API" in log.read_text() or process.poll() is not None, 30)
    yield process, log
    if process.poll() is None:
        process.terminate()
        process.wait(20)


def post(url: str, body: dict[str, object]) -> str:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/task", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return str(json.load(reply)["task_id"])


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return dict(json.load(reply))


def test_up_replaces_a_killed_worker_and_ends_cleanly(
    up: tuple[subprocess.Popen[str], Path],
) -> None:
    process, log = up
    url = re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())[0]
    task_id = post(url, {"name": "sleep", "args": [0.5]})
    wait_for(lambda: get(f"{url}/task/{task_id}")["state"] == "running")
    (worker,) = get(f"{url}/workers")["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    task = get(f"{url}/task/{task_id}?wait_s=15")
    assert (task["state"], task["attempt"]) == ("succeeded", 2)
    assert "starting another" in log.read_text()
    processes = family(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert gone(processes, seconds=5)


def test_up_on_a_port_in_use_says_so(up: tuple[subprocess.Popen[str], Path]) -> None:
    port = re.findall(r"http://127\.0\.0\.1:(\d+)", up[1].read_text())[0]
    command = [sys.executable, "-m", "miniqueue", "up", "--workers", "0", "--port", port]
    again = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert again.returncode == 1
    assert "address already in use" in again.stderr


@pytest.mark.parametrize("module", ["miniqueue.worker", "miniqueue.inspector"])
def test_modules_of_the_first_sketch_still_run(module: str, redis_url: str) -> None:
    environ = {**os.environ, "MINIQUEUE_REDIS_URL": redis_url}
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    if module == "miniqueue.worker":
        assert b"serves queue 'default'" in process.stdout.readline()
        process.terminate()
    out, _ = process.communicate(timeout=15)
    assert process.returncode == 0
    if module == "miniqueue.inspector":
        assert out.startswith(b"queue")


def test_redis_command_serves_until_it_is_told_to_stop() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "miniqueue", "redis", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline().startswith(f"redis://127.0.0.1:{port}/0")
        wait_for(lambda: "Ready to accept connections" in out.readline())
        process.terminate()
        out.read()
    assert process.wait(10) == 0


def test_a_worker_that_reloads_starts_anew_when_code_changes(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("from miniqueue import task\n@task\ndef one(): return 1\n")
    environ = {**os.environ, "MINIQUEUE_REDIS_URL": redis_url}
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "miniqueue", "worker", "--import", "mine", "--reload"],
            cwd=tmp_path, env=environ, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_for(lambda: log.read_text().count("serves queue") == 1)
        (tmp_path / "mine.py").write_text(
            "from miniqueue import task\n@task\ndef two(): return 2\n"
        )
        wait_for(lambda: log.read_text().count("serves queue") == 2, 20)
    finally:
        processes = [psutil.Process(process.pid), *family(process.pid)]
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert gone(processes, seconds=5)
