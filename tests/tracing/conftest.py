"""Spans of this process, in memory. Without the extra `tracing` these tests are skipped."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from miniqueue.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

collect_ignore_glob: list[str] = []
if importlib.util.find_spec("opentelemetry.sdk") is None:
    assert not os.environ.get("CI"), "CI must have the extra `tracing`"
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, lease_s=5.0, keep_s=60.0, tracing=True)


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """A process has one provider, for good."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    yield exporter
    exporter.clear()
