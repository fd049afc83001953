"""An API and a worker, each in a process of its own, send one trace to a collector (OTLP)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from miniqueue.classroom.service import Service, free_port
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40)]


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to /v1/traces: (service, span, trace id)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.found: list[tuple[str, str, str]] = []

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.found.append((names["service.name"], span.name, span.trace_id.hex()))


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.take(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test tells what is wrong."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    yield collector
    collector.shutdown()
    thread.join()
    collector.server_close()


def test_two_processes_tell_one_trace(
    settings: Settings, client: Client, collector: Collector, tmp_path: Path
) -> None:
    port = free_port()
    environ = {**os.environ, **settings.but(port=port).environ(), "OTEL_BSP_SCHEDULE_DELAY": "50"}
    environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{collector.server_port}"
    crew = [
        Service(
            name, [sys.executable, "-m", "miniqueue", name], log=tmp_path / name, environ=environ
        )
        for name in ("api", "worker")
    ]
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: "running on" in crew[0].tail(), 20)
        sent = httpx.post(f"{url}/task", json={"name": "echo", "args": [1]})
        assert sent.status_code == 202
        wait_for(lambda: any(name == "process default" for _, name, _ in collector.found), 20)
        wait_for(lambda: any(name == "POST /task" for _, name, _ in collector.found))
    finally:
        for service in crew:
            service.ask_to_end()
        for service in crew:
            service.join()
    told = {(service, name) for service, name, _ in collector.found}
    assert told == {
        ("miniqueue-api", "POST /task"),
        ("miniqueue-api", "create default"),
        ("miniqueue-worker", "process default"),
    }
    assert len({trace_id for _, _, trace_id in collector.found}) == 1
