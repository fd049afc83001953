"""A bench on the private server, and one that also runs on fakeredis."""

from __future__ import annotations

from collections.abc import Iterator

import fakeredis
import pytest

from miniqueue.redis_client import Client, connect
from miniqueue.settings import Settings
from tests.protocol.bench import Bench


@pytest.fixture
def bench(client: Client, settings: Settings) -> Bench:
    """A seeded queue on the private server."""
    return Bench(client, settings)


@pytest.fixture(params=["server", "other", "fakeredis"])
def any_bench(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Bench]:
    """The same on the private server, on one of the other make, and on fakeredis."""
    if request.param == "fakeredis":
        yield Bench(Client(fakeredis.FakeRedis(decode_responses=True)), settings)
    elif request.param == "server":
        yield Bench(request.getfixturevalue("client"), settings)
    else:
        client = connect(settings.but(redis_url=request.getfixturevalue("other_url")))
        client.raw.flushdb()
        yield Bench(client, settings)
        client.close()
