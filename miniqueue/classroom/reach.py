"""Reach: does Redis answer, does the API, and whose Redis is it."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import replace

from miniqueue.errors import BackendUnavailable, StackError
from miniqueue.protocol.calls import redis_time
from miniqueue.redis_client import Client, connect
from miniqueue.settings import Settings

__all__ = ["answers", "chosen", "empty", "external_url", "healthy", "its_own"]

OWN = "stack-"  # how a namespace begins that a stack has made for itself


def external_url() -> str:
    """The Redis that the environment names, or nothing."""
    return os.environ.get("MINIQUEUE_REDIS_URL") or os.environ.get("REDIS_URL") or ""


def chosen(settings: Settings | None) -> Settings:
    """The settings of a stack: those given, or those of the environment with the Redis it names, in
    a namespace of the stack's own unless MINIQUEUE_NAMESPACE names one.

    An empty redis_url asks for a Redis to be launched. Raises StackError where one is named that
    does not answer.
    """
    given = settings or replace(Settings.from_env(), redis_url=external_url())
    if not given.redis_url:
        return given
    if settings is None and "MINIQUEUE_NAMESPACE" not in os.environ:
        given = replace(given, namespace=OWN + secrets.token_hex(4))
    client = connect(given)
    try:
        client.run(redis_time())
    except BackendUnavailable as error:
        raise StackError(f"MINIQUEUE_REDIS_URL does not answer: {error.problem}") from None
    finally:
        client.close()
    return given


def its_own(settings: Settings) -> bool:
    """Whether the namespace is one that a stack has made for itself, and empties at its end."""
    return settings.namespace.startswith(OWN)


def answers(client: Client) -> bool:
    """Whether Redis does."""
    with contextlib.suppress(Exception):
        return bool(client.raw.ping())
    return False


def healthy(url: str) -> bool:
    """Whether the API at this address does."""
    import httpx  # a grader that asks for Redis alone does not pay for it

    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    return False


def empty(settings: Settings) -> None:
    """Remove all keys of a namespace that the stack made for itself."""
    client = connect(settings)
    try:
        for node in client.nodes():
            pipe = node.pipeline(transaction=False)  # in a cluster each key has a slot of its own
            for key in node.scan_iter(match=f"{settings.namespace}:*", count=1000):
                pipe.unlink(key)
                if len(pipe) == 1000:
                    pipe.execute()
            pipe.execute()
    finally:
        client.close()
