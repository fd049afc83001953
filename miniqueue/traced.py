"""Traced: a span for each HTTP request, by the semantic conventions for HTTP. Plain ASGI.

Its context is the current one while the routes run, so the tasks that a request sends are below it.
Probes, scrapes and streams have none.
"""

from __future__ import annotations

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miniqueue import spans

__all__ = ["Traced"]

QUIET = ("/healthz", "/readyz", "/metrics", "/events", "/live")  # how their paths end


class Traced:
    """Continues the trace of a request's `traceparent`, or begins one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(QUIET):
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        told = {"http.request.method": method, "url.path": scope["path"]}
        told["url.scheme"] = scope["scheme"]
        with spans.tracer().start_as_current_span(
            method,
            context=spans.parent(_headers(scope)),
            kind=trace.SpanKind.SERVER,
            attributes=told,
        ) as span:
            await self._app(scope, receive, _noting(span, send))
            route = getattr(scope.get("route"), "path", None)  # where a route was found
            if route is not None:
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def _noting(span: trace.Span, send: Send) -> Send:
    """Send, and note the status of the response; those of the server's own are errors."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(trace.StatusCode.ERROR)
        await send(message)

    return noting
