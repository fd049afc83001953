"""What real workers and a real API write to their logs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from miniqueue.classroom.service import Service, free_port
from miniqueue.settings import Settings
from tests.crash.conftest import Crew
from tests.crash.jobs import talkative
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(25)]
TOKEN = "a-token-that-nobody-may-see"


def parsed(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log.read_text().splitlines()]


def test_a_worker_writes_one_json_object_a_line(crew: Crew) -> None:
    crew.hire("w1", log_json=True, api_token=TOKEN)
    handle = crew.queue.enqueue(talkative, TOKEN)
    wait_for(lambda: handle.get().finished_ms)
    crew.workers["w1"].ask_to_end()
    crew.workers["w1"].join()
    told = parsed(crew.workers["w1"])
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, told))
    own = {one["logger"] + ": " + one["message"] for one in told if "task_id" in one}
    assert own >= {"stdout: printed ***", "jobs: logged ***", "jobs: caught"}
    assert [one for one in told if "warned of ***" in one["message"]]
    (caught,) = [one for one in told if one["message"] == "caught"]
    assert caught["exception"].endswith("ValueError: ***")
    assert (caught["task_id"], caught["function"], caught["attempt"]) == (handle.id, "talkative", 1)
    assert told[-1]["message"] == "worker w1 has stopped"
    assert "task_id" not in told[-1]
    assert TOKEN not in crew.log(crew.workers["w1"])


def test_a_worker_writes_text_for_people_by_default(crew: Crew) -> None:
    crew.hire("w1", api_token=TOKEN)
    handle = crew.queue.enqueue(talkative, TOKEN)
    wait_for(lambda: handle.get().finished_ms)
    text = crew.log(crew.workers["w1"])
    assert " INFO worker w1 serves queue 'default' with 1 lanes" in text
    assert " WARNING logged ***" in text
    assert "printed " + TOKEN in text  # what a task prints is its own


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "text"])
def test_an_api_writes_no_ticket(settings: Settings, tmp_path: Path, as_json: bool) -> None:
    port = free_port()
    environ = settings.but(log_json=as_json, api_token=TOKEN, port=port).environ()
    command = [sys.executable, "-m", "miniqueue", "api", "--access-log"]
    api = Service("api", command, log=tmp_path / "api.log", environ={**os.environ, **environ})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: "running on" in api.tail())
        assert httpx.get(f"{url}/events", params={"ticket": "17.af"}).status_code == 401
        wait_for(lambda: "GET /events?ticket=***" in api.log.read_text())
    finally:
        api.ask_to_end()
        api.join()
    text = api.log.read_text()
    assert "17.af" not in text
    assert TOKEN not in text
    if as_json:
        told = parsed(api)
        assert {one["logger"] for one in told} == {"uvicorn.error", "uvicorn.access"}
