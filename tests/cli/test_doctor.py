"""`miniqueue doctor`: each thing that is wrong is found, and its fix is named."""

from __future__ import annotations

import importlib.metadata
import json
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from miniqueue import doctor
from miniqueue.api import create_app
from miniqueue.cli import main
from miniqueue.doctor import Finding, examine
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.api.live import serving

REQUIRES = [
    "redis>=6.2",
    "hiredis>=3.0; extra == 'fast'",
    "cronsim>=2.6; extra == 'api'",
    "fastapi>=0.115; extra == 'api'",
    "uvloop>=0.21; (sys_platform != 'win32') and extra == 'api'",
    "fakeredis[lua]>=2.40; extra == 'classroom'",
]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The packages that are installed, as the doctor sees them."""
    found = {"redis": "6.2.0", "hiredis": "3.0"}

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(doctor, "EXTRAS", {"": "x", "fast": "x", "api": "x", "classroom": "x"})
    return found


def about(findings: list[Finding], words: str) -> Finding:
    (found,) = [finding for finding in findings if words in finding.what]
    return found


def test_packages_are_those_of_the_extras(here: dict[str, str], settings: Settings) -> None:
    here |= {"fastapi": "0.99.1", "cronsim": "2.6"}
    found = examine(settings)
    assert about(found, "packages of").ok
    assert about(found, "extra fast").what.endswith("hiredis 3.0")
    assert about(found, "extra api").what.endswith("fastapi 0.99.1 is older than 0.115")
    assert about(found, "extra api").fix == "pip install -U 'miniqueue[api]'"
    here["fastapi"] = "0.115.0"
    assert about(examine(settings), "extra api").what.endswith("uvloop missing")
    here["uvloop"] = "0.21"
    assert about(examine(settings), "extra api").ok
    classroom = about(examine(settings), "extra classroom")  # it is not asked for
    assert (classroom.ok, "if you want it" in classroom.fix) == (True, True)
    del here["redis"]
    assert not about(examine(settings), "packages of").ok


def test_the_redis(settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = about(examine(settings), "nothing is written to disk")
    assert (kept.ok, "appendonly yes" in kept.fix) == (True, True)
    client.raw.config_set("maxmemory", 10**9)
    client.raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        evicts = about(examine(settings), "evicts keys")
        assert (evicts.ok, evicts.fix) == (False, "CONFIG SET maxmemory-policy noeviction")
    finally:
        client.raw.config_set("maxmemory-policy", "noeviction")
        client.raw.config_set("maxmemory", 0)
    monkeypatch.setattr(doctor, "REDIS", (99,))
    assert not about(examine(settings), "is too old").ok
    away = examine(replace(settings, redis_url="redis://127.0.0.1:1/0"))
    assert not about(away, "Redis at MINIQUEUE_REDIS_URL").ok


def test_workers(settings: Settings, client: Client) -> None:
    assert about(examine(settings), "0 workers serve queue 'default'").fix.startswith("start one")
    Worker(Queue(settings=settings, client=client)).start()
    assert about(examine(settings), "1 workers serve queue 'default'").fix == ""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


def test_the_port_and_the_address(settings: Settings, client: Client, taken: int) -> None:
    other = about(examine(replace(settings, port=taken)), f"port {taken}")
    assert (other.ok, "--port" in other.fix) == (False, True)
    with serving(create_app(settings)) as url:
        port = int(url.rpartition(":")[2])
        assert about(examine(replace(settings, port=port)), f"an API answers on port {port}").ok
    bare = about(examine(replace(settings, host="0.0.0.0", port=0)), "0.0.0.0 for the API")
    assert not bare.ok
    assert about(examine(replace(settings, port=0, api_token="x")), "with a token").ok


def test_the_command_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {})
    monkeypatch.setenv("MINIQUEUE_PORT", "0")
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", settings.redis_url)
    assert main(["doctor"]) == 0
    assert "-> start one: miniqueue worker" in capsys.readouterr().out
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert all(finding["fix"] for finding in findings if not finding["ok"])
