"""address.py: all forms of a Redis URL, and what is said of those that are none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from miniqueue.address import Place, parse
from miniqueue.errors import ConfigError
from miniqueue.redis_client import connect, connect_async
from miniqueue.settings import Settings

LOCAL = Place("localhost", 6379)


@pytest.mark.parametrize(
    ("url", "kind", "places", "options"),
    [
        ("redis://", "", (LOCAL,), {"db": 0}),
        ("redis://h", "", (Place("h", 6379),), {"ssl": False, "db": 0}),
        ("redis://h:1/2", "", (Place("h", 1),), {"db": 2}),
        ("redis://h?db=3", "", (Place("h", 6379),), {"db": 3}),
        ("redis://:p%40%2F%23@h", "", (Place("h", 6379),), {"password": "p@/#"}),
        ("redis://me:p:q@h", "", (Place("h", 6379),), {"username": "me", "password": "p:q"}),
        ("redis://[::1]:7", "", (Place("::1", 7),), {}),
        ("redis:///1", "", (LOCAL,), {"db": 1}),
        ("rediss://h?ssl_ca_certs=/a%20b", "", (Place("h", 6379),), {"ssl_ca_certs": "/a b"}),
        ("rediss://h?ssl_check_hostname=no", "", None, {"ssl": True, "ssl_check_hostname": False}),
        ("unix:///run/a.sock?db=1", "", (), {"unix_socket_path": "/run/a.sock", "db": 1}),
        ("redis+cluster://a,b:2", "cluster", (Place("a", 6379), Place("b", 2)), {"db": 0}),
        ("rediss+cluster://u:p@[::1],b", "cluster", (Place("::1", 6379), Place("b", 6379)), {}),
        ("redis+sentinel://a,b:2/m", "sentinel", (Place("a", 26379), Place("b", 2)), {"db": 0}),
        ("redis+sentinel://a/m/4", "sentinel", (Place("a", 26379),), {"db": 4}),
    ],
)
def test_forms(url: str, kind: str, places: Any, options: dict[str, Any]) -> None:
    found = parse(url)
    assert found.kind == kind
    assert places in (None, found.places)
    assert found.options.items() >= options.items()


def test_sentinel_may_have_a_password_of_its_own() -> None:
    found = parse("redis+sentinel://:one@a/m?sentinel_password=two&sentinel_username=me")
    assert (found.service, found.options["password"]) == ("m", "one")
    assert found.sentinel == {"username": "me", "password": "two"}


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("localhost", "must begin with"),
        ("http://h", "must begin with"),
        ("redis+swarm://h", "must begin with"),
        ("redis://:SECRET/x@h", "%2F"),
        ("redis://:SECRET#x@h", "%23"),
        ("redis://:SEC@RET:x@h:y", "%40"),
        ("redis://:SECRET@h:99999", "user:password@host:port"),
        ("redis://:SECRET@a,b", "several hosts"),
        ("redis://:SECRET@h/zero", "number of the database"),
        ("redis://:SECRET@h/0/1", "number of the database"),
        ("redis://:SECRET@h?SECRET=1", "unknown option; there are client_name, db"),
        ("redis://:SECRET@h?db=SECRET", "the value of db is not a number"),
        ("redis://:SECRET@h?ssl_ca_certs=/a", "begin with rediss"),
        ("redis+sentinel://:SECRET@h", "/mymaster"),
        ("redis+cluster://:SECRET@h/1", "no database but 0"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(url: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        connect(Settings(redis_url=url))
    assert "SECRET" not in str(caught.value)
    assert "MINIQUEUE_REDIS_URL" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:SECRET@h",
        "rediss://me:SECRET@h?ssl_ca_certs=/x",
        "unix://me:SECRET@/run/a.sock",
        "redis+sentinel://me:SECRET@a,b/m?sentinel_password=SECRET",
        "redis+cluster://me:SECRET@a,b",
    ],
)
def test_nothing_that_is_printed_has_the_password(url: str) -> None:
    settings = Settings(redis_url=url, api_token="SECRET", read_token="SECRET")

    async def async_words() -> str:
        client = connect_async(settings)
        words = f"{client!r} {vars(client)!r} {getattr(client, 'raw', '')!r}"
        await client.close()
        return words

    client = connect(settings)
    words = f"{settings!r} {settings} {parse(url)!r} {client!r} {vars(client)!r}"
    client.close()
    assert "SECRET" not in words + asyncio.run(async_words())
