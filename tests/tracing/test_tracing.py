"""One trace from an HTTP request through the queue to the task, over a real server and worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from miniqueue.api import create_app
from miniqueue.errors import TaskFailed
from miniqueue.middleware import Middleware
from miniqueue.outcome import Run
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, default_registry, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.api.live import serving
from tests.processes import wait_for
from tests.worker.running import running, started

KNOWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def one(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = named(spans, name)
    return span


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def below(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert parent.context is not None
    return child.parent is not None and child.parent.span_id == parent.context.span_id


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def url(settings: Settings, client: Client, spans: InMemorySpanExporter) -> Iterator[str]:
    """A real server, and a real worker beside it."""
    queue = Queue(settings=settings, client=client)
    with serving(create_app(settings)) as url, running(Worker(queue, default_registry), queue):
        yield url


@pytest.fixture
def worker(queue: Queue, registry: Registry, spans: InMemorySpanExporter) -> Worker:
    return Worker(queue, registry, name="w1")


# -- from end to end -------------------------------------------------------------------------------


def test_a_request_and_its_task_are_one_trace(url: str, spans: InMemorySpanExporter) -> None:
    sent = httpx.post(
        f"{url}/task", json={"name": "echo", "args": [1]}, headers={"traceparent": KNOWN}
    )
    task_id = sent.json()["task_id"]
    wait_for(lambda: named(spans, "process default"))
    request, create, process = (
        one(spans, name) for name in ("POST /task", "create default", "process default")
    )
    assert {trace_id(span) for span in (request, create, process)} == {KNOWN.split("-")[1]}
    assert below(create, request)
    assert below(process, create)
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == KNOWN.split("-")[2]
    assert [span.kind for span in (request, create, process)] == [
        SpanKind.SERVER,
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
    ]
    assert told(process) == {
        "messaging.system": "miniqueue",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": task_id,
        "miniqueue.task.function": "echo",
        "miniqueue.task.attempt": 1,
        "miniqueue.task.state": "succeeded",
    }
    assert create.context is not None
    assert [link.context.span_id for link in process.links] == [create.context.span_id]
    assert told(request)["http.response.status_code"] == 202
    assert told(request)["http.route"] == "/task"


def test_tasks_of_a_bulk_call_have_a_span_each(url: str, spans: InMemorySpanExporter) -> None:
    body = {"tasks": [{"name": "echo", "args": [n]} for n in range(3)]}
    httpx.post(f"{url}/tasks", json=body)
    wait_for(lambda: len(named(spans, "process default")) == 3)
    request, creates = one(spans, "POST /tasks"), named(spans, "create default")
    assert all(below(create, request) for create in creates)
    ids = Counter(told(span)["messaging.message.id"] for span in creates)
    processed = Counter(
        told(span)["messaging.message.id"] for span in named(spans, "process default")
    )
    assert ids == processed
    assert len(ids) == 3


def test_requests_that_travel_together_keep_their_traces(
    url: str, spans: InMemorySpanExporter
) -> None:
    """The joiner sends what many requests enqueue in one call."""
    traces = [f"{n:032x}" for n in range(1, 21)]

    async def send_all() -> None:
        async with httpx.AsyncClient() as http:
            await asyncio.gather(
                *(
                    http.post(
                        f"{url}/task",
                        json={"name": "echo", "args": [trace]},
                        headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
                    )
                    for trace in traces
                )
            )

    asyncio.run(send_all())
    wait_for(lambda: len(named(spans, "process default")) == 20)
    assert sorted(trace_id(span) for span in named(spans, "process default")) == traces


def test_probes_and_scrapes_have_no_spans(url: str, spans: InMemorySpanExporter) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert httpx.get(url + path).status_code == 200
    assert httpx.get(url + "/task/none").status_code == 404
    (span,) = spans.get_finished_spans()
    assert (span.name, told(span)["http.response.status_code"]) == ("GET /task/{task_id}", 404)
    assert span.status.status_code is StatusCode.UNSET


def test_a_request_that_redis_did_not_answer_is_an_error(
    settings: Settings, client: Client, spans: InMemorySpanExporter
) -> None:
    client.raw.set("mq:workers", "a foreign hand")
    with serving(create_app(settings)) as url:
        assert httpx.get(url + "/workers").status_code == 503
    assert one(spans, "GET /workers").status.status_code is StatusCode.ERROR


# -- in the worker ---------------------------------------------------------------------------------


def test_a_retry_is_another_span_of_the_same_trace(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter
) -> None:
    @task(registry=registry, max_attempts=2, backoff_s=0)
    def broken() -> None:
        raise ValueError("no luck")

    handle = queue.enqueue(broken)
    wait_for(lambda: worker.run_once() * 0 + (handle.state == "failed"))
    first, second = named(spans, "process default")
    assert trace_id(first) == trace_id(second) == trace_id(one(spans, "create default"))
    assert [told(s)["miniqueue.task.attempt"] for s in (first, second)] == [1, 2]
    assert [told(s)["miniqueue.task.state"] for s in (first, second)] == ["scheduled", "failed"]
    for span in (first, second):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "no luck"
        assert told(span)["error.type"] == "ValueError"
        (event,) = span.events
        assert event.name == "exception"
        assert (event.attributes or {})["exception.message"] == "no luck"
        assert "raise ValueError" in str((event.attributes or {})["exception.stacktrace"])


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_a_task_does_is_below_its_span(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter, kind: str
) -> None:
    @task(registry=registry)
    def child() -> None: ...

    def work() -> None:
        with trace.get_tracer("mine").start_as_current_span("mine"):
            queue.enqueue(child)

    async def work_async() -> None:
        work()

    function = task(registry=registry, name="work")(work if kind == "def" else work_async)
    queue.enqueue(function)
    worker.run_once()
    worker.run_once()
    first, second = named(spans, "process default")
    mine = one(spans, "mine")
    create = named(spans, "create default")[1]
    assert below(mine, first)
    assert below(create, mine)
    assert below(second, create)
    assert not trace.get_current_span().get_span_context().is_valid


def test_tasks_of_a_batch_keep_their_traces(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter
) -> None:
    @task(registry=registry, batch=8)
    def doubled(numbers: list[int]) -> list[int]:
        return [2 * n for n in numbers]

    queue.enqueue_many(doubled, [(1,), (2,), (3,)])
    started(worker, registry).run_once()
    creates, runs = named(spans, "create default"), named(spans, "process default")
    assert len(runs) == 3
    assert [below(run, create) for run, create in zip(runs, creates, strict=True)] == [True] * 3
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_another_middleware_puts_off_has_no_span(
    queue: Queue, registry: Registry, spans: InMemorySpanExporter
) -> None:
    class Later(Middleware):
        def before(self, run: Run) -> int:
            return 60_000 if run.task.attempt == 1 else 0

    @task(registry=registry)
    def patient() -> None: ...

    queue.enqueue(patient)
    Worker(queue, registry, middlewares=[Later()]).run_once()
    assert named(spans, "process default") == []
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_run_that_does_not_begin_leaves_no_span_open(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter
) -> None:
    """Its acknowledgement is refused: its lease was lost after the claim."""

    @task(registry=registry, ack="before")
    def careful() -> None: ...

    handle = queue.enqueue(careful)
    worker.lanes[0].fetch(0)
    queue.client.raw.hset(queue.protocol.keys.task(handle.id), "attempt", 7)
    worker.lanes[0].work()
    queue.enqueue(careful)
    worker.run_once()
    lost, run = named(spans, "process default")
    assert "miniqueue.task.state" not in told(lost)
    assert told(run)["miniqueue.task.state"] == "succeeded"
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("broken", ["", "x", "00-0-0-0", "\x00", "00-" + "f" * 32 + "-" + "0" * 16])
def test_a_broken_context_begins_a_trace(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter, broken: str
) -> None:
    @task(registry=registry)
    def plain() -> None: ...

    handle = queue.enqueue(plain)
    queue.client.raw.hset(queue.protocol.keys.task(handle.id), "traceparent", broken)
    worker.run_once()
    assert one(spans, "process default").parent is None
    assert handle.state == "succeeded"


def test_a_task_of_a_client_without_traces_begins_one(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter
) -> None:
    @task(registry=registry)
    def plain() -> None: ...

    silent = Queue(settings=replace(queue.settings, tracing=False), client=queue.client)
    handle = silent.enqueue(plain)
    assert not queue.client.raw.hexists(queue.protocol.keys.task(handle.id), "traceparent")
    worker.run_once()
    assert named(spans, "create default") == []
    assert one(spans, "process default").parent is None


def test_an_error_of_a_task_is_still_its_own(
    queue: Queue, worker: Worker, registry: Registry, spans: InMemorySpanExporter
) -> None:
    @task(registry=registry, max_attempts=1)
    def broken() -> None:
        raise ValueError("no luck")

    handle = queue.enqueue(broken)
    worker.run_once()
    with pytest.raises(TaskFailed, match="no luck"):
        handle.wait(0.01)
