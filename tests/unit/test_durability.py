"""The durability line: each setting of Redis, and what it means for an accepted task."""

from __future__ import annotations

import pytest

from miniqueue.durability import durability
from miniqueue.redis_client import Client

QUIET = {"appendonly": "no", "appendfsync": "everysec", "save": "", "maxmemory": "0"}


@pytest.mark.parametrize(
    ("told", "survives", "words"),
    [
        ({}, "nothing", "nothing is written to disk"),
        ({"save": "3600 1"}, "nothing", "since its last snapshot"),
        ({"appendonly": "yes"}, "restart", "lose the last second"),
        ({"appendonly": "yes", "appendfsync": "no"}, "restart", "(appendfsync no)"),
        ({"appendonly": "yes", "appendfsync": "always"}, "power loss", "is on disk"),
        ({"min-replicas-to-write": "1"}, "nothing", "only while a replica follows"),
        ({"min-replicas-to-write": "2"}, "nothing", "only while 2 replicas follow"),
    ],
)
def test_a_sentence_for_each_kind_of_persistence(
    told: dict[str, str], survives: str, words: str
) -> None:
    kept = durability().parse({**QUIET, **told})
    assert kept.survives == survives
    assert words in kept.sentence
    assert not kept.evicts


def test_eviction_is_warned_of() -> None:
    full = {**QUIET, "maxmemory": "1000000", "maxmemory-policy": "allkeys-lru"}
    kept = durability().parse(full)
    assert kept.evicts
    assert "WARNING" in kept.sentence
    assert "set maxmemory-policy noeviction" in kept.sentence
    assert not durability().parse({**full, "maxmemory-policy": "noeviction"}).evicts
    assert not durability().parse({**full, "maxmemory": "0"}).evicts


def test_a_real_server_tells(client: Client) -> None:
    assert client.run(durability()).survives == "nothing"
