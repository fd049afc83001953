"""The application in this process, on the private server; a worker that takes a turn when told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from miniqueue.api import create_app
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import default_registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker


@pytest.fixture
def http(settings: Settings, client: Client) -> Iterator[TestClient]:
    """Speaks to the routes; errors inside them are raised here."""
    with TestClient(create_app(settings)) as http:
        yield http


@pytest.fixture
def worker(settings: Settings, client: Client) -> Worker:
    """Runs the built-in functions; `worker.run_once()` is one turn."""
    return Worker(Queue(settings=settings, client=client), default_registry, name="w")
