"""The OpenAPI document against a real server: schemathesis sends what it allows, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck
from hypothesis import settings as profile
from schemathesis.specs.openapi.checks import positive_data_acceptance

from miniqueue.api import create_app
from miniqueue.functions import fail
from miniqueue.queue import Queue
from miniqueue.redis_client import Client, connect
from miniqueue.registry import default_registry
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.api.live import serving

EXAMPLES = 25  # requests an operation
# What a body says must also fit the function that it names, and a cursor the page before it: no
# schema can say so.
JUDGED = {("POST", "/task"), ("POST", "/tasks"), ("GET", "/tasks")}
JUDGED |= {("PUT", "/queues/{queue}/cron/{schedule_name}")}


def contract() -> Any:
    """The document, with a known task and a known queue among the examples."""
    document = create_app().openapi()
    assert len(document["paths"]) >= 20
    return schemathesis.openapi.from_dict(document)


schema = contract()


@pytest.fixture(scope="module")
def url(redis_url: str) -> Iterator[str]:
    """A server with a failed task; it serves no streams, which have no end."""
    settings = Settings(redis_url=redis_url, namespace="contract", max_streams=0, max_queues=50)
    queue = Queue(settings=settings, client=connect(settings))
    queue.enqueue(fail.options(max_attempts=1))
    Worker(queue, default_registry).run_once()
    with serving(create_app(settings)) as url:
        yield url
    queue.client.raw.flushdb()
    queue.client.close()


@pytest.mark.timeout(60)
@profile(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@schema.parametrize()  # type: ignore[untyped-decorator]
def test_replies_are_as_the_document_says(case: Any, url: str) -> None:
    judged = (case.method.upper(), case.path) in JUDGED
    case.call_and_validate(
        base_url=url, excluded_checks=[positive_data_acceptance] if judged else [], timeout=10
    )


@pytest.mark.parametrize("path", ["/task", "/tasks", "/events", "/queues", "/stats"])
def test_tokens_are_as_the_document_says(settings: Settings, client: Client, path: str) -> None:
    with TestClient(create_app(replace(settings, api_token="x"))) as http:
        reply = http.get(path)
    told = create_app().openapi()["paths"][path]
    assert reply.status_code == 401
    for operation in told.values():
        assert "401" in operation["responses"]
        assert {"token": []} in operation["security"]


def test_another_method_is_told_which_there_are(settings: Settings, client: Client) -> None:
    with TestClient(create_app(settings)) as http:
        reply = http.put("/tasks")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST")
    assert "GET, POST" in reply.json()["detail"]
