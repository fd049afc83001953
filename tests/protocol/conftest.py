"""A bench on the private server, and one that also runs on fakeredis."""

from __future__ import annotations

import fakeredis
import pytest

from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.protocol.bench import Bench


@pytest.fixture
def bench(client: Client, settings: Settings) -> Bench:
    """A seeded queue on the private server."""
    return Bench(client, settings)


@pytest.fixture(params=["server", "fakeredis"])
def any_bench(request: pytest.FixtureRequest, settings: Settings) -> Bench:
    """The same on the private server and on fakeredis, another implementation of Redis."""
    if request.param == "fakeredis":
        return Bench(Client(fakeredis.FakeRedis(decode_responses=True)), settings)
    return Bench(request.getfixturevalue("client"), settings)
