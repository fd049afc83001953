"""Spans: how miniqueue speaks to OpenTelemetry, where tracing is on (MINIQUEUE_TRACING).

A task carries the W3C trace context of its `create` span in its hash, as `traceparent`, so that
what its workers do belongs to the trace of whoever sent it. Names and attributes follow the
semantic conventions for messaging: a span is called by its operation and its queue.
Nothing imports this module where tracing is off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from miniqueue.errors import ConfigError

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise ConfigError(
        "MINIQUEUE_TRACING=1 needs OpenTelemetry: pip install 'miniqueue[tracing]'"
    ) from None

__all__ = ["about", "creation", "parent", "provide", "tracer"]

W3C = TraceContextTextMapPropagator()


def provide(service: str) -> None:
    """Have this process send its spans by OTLP, as the OTEL_* variables say (where to, what name).

    Does nothing where there is a provider already: of `opentelemetry-instrument`, or of a test.
    Raises ConfigError where the SDK is not installed.
    """
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise ConfigError(
            f"MINIQUEUE_TRACING=1: {missing}; pip install 'miniqueue[tracing]'"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def tracer() -> trace.Tracer:
    """What starts our spans; they go nowhere where no provider is set."""
    return trace.get_tracer("miniqueue")


def about(operation: str, queue: str, task_id: str, function: str) -> dict[str, str]:
    """The attributes of a span about one task."""
    return {
        "messaging.system": "miniqueue",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.id": task_id,
        "miniqueue.task.function": function,
    }


def creation(queue: str, task_id: str, function: str) -> str:
    """A span for a task that is sent; gives its context as `traceparent`, '' where there is none.

    It is a span for each task of a bulk call, too: each has a life of its own.
    """
    span = tracer().start_span(
        f"create {queue}",
        kind=trace.SpanKind.PRODUCER,
        attributes=about("create", queue, task_id, function),
    )
    carrier: dict[str, str] = {}
    W3C.inject(carrier, trace.set_span_in_context(span))
    span.end()
    return carrier.get("traceparent", "")


def parent(carrier: Mapping[str, str]) -> Context:
    """The context that a carrier brought; an empty one where it is none."""
    return W3C.extract(carrier, context=Context())
