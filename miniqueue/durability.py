"""Durability: what the settings of Redis mean for an accepted task, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from miniqueue.protocol.calls import Call, pairs

__all__ = ["Durability", "durability"]

NAMES = (
    *("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy"),
    "min-replicas-to-write",
)


@dataclass(frozen=True, slots=True)
class Durability:
    """`sentence` is for people. `survives`: nothing, restart (of Redis), power loss, or unknown.

    `evicts`: accepted tasks can vanish when memory is full.
    """

    survives: str
    evicts: bool
    sentence: str


def durability() -> Call[Durability]:
    """Read the settings of Redis. BackendUnavailable where CONFIG is not allowed."""
    return Call("CONFIG", (), ("GET", *NAMES), _parse)


UNKNOWN = Durability("unknown", False, "Redis does not tell how it keeps data.")


def _parse(reply: Any) -> Durability:
    told = pairs(reply)
    survives, sentence = _persistence(told)
    policy = told.get("maxmemory-policy", "noeviction")
    evicts = told.get("maxmemory", "0") != "0" and policy != "noeviction"
    replicas = told.get("min-replicas-to-write", "0")
    if replicas != "0":
        follow = "a replica follows" if replicas == "1" else f"{replicas} replicas follow"
        sentence += f" It is accepted only while {follow}."
    if evicts:
        sentence += (
            f" WARNING: when memory is full Redis evicts keys (maxmemory-policy {policy}), and "
            "accepted tasks vanish; set maxmemory-policy noeviction."
        )
    return Durability(survives, evicts, sentence)


def _persistence(told: Mapping[str, str]) -> tuple[str, str]:
    if told.get("appendonly") == "yes":
        if told.get("appendfsync") == "always":
            return "power loss", "An accepted task is on disk (appendfsync always)."
        return "restart", (
            "An accepted task survives a restart of Redis; a power cut can lose the last second "
            f"or more (appendfsync {told.get('appendfsync', '?')})."
        )
    if told.get("save"):
        return "nothing", (
            "If Redis dies, tasks accepted since its last snapshot are lost (appendonly no); "
            "set appendonly yes."
        )
    return "nothing", (
        "An accepted task lives as long as Redis runs: nothing is written to disk (appendonly no)."
    )
