"""A Redis in memory, and the bench of the protocol tests, for faults that the model has found."""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest

from miniqueue.redis_client import Client
from tests.protocol.conftest import bench

__all__ = ["bench"]


@pytest.fixture
def memory() -> Iterator[Client]:
    """A client of a fresh fakeredis."""
    client = Client(fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True))
    yield client
    client.close()
