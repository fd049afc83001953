"""The OpenAPI document: what FastAPI cannot know of errors, streams and tokens."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from miniqueue.guard import OPEN
from miniqueue.schemas import Problem

__all__ = ["COMMON", "describe"]

STREAMS = ("/events", "/live")  # how their paths end
TEXTS = ("text/plain", "application/openmetrics-text")  # of /metrics
# What any route may answer.
COMMON = {
    "401": "Token required",
    "403": "Wrong token, or a page of another site",
    "429": "Too many requests",
}


def describe(app: FastAPI) -> None:
    """Have the app's document say what errors are, what streams, and what a token is."""
    told = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = told()
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                parts["schemas"].pop(unused, None)
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    _mend(path, operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _mend(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if path not in OPEN:
        operation["security"] = [{}, {"token": []}]  # none where no token is set
        for status, title in COMMON.items():
            responses.setdefault(status, {"description": title})
    for status, response in responses.items():
        if status >= "400":
            problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
            response["content"] = {"application/problem+json": problem}
    if path == "/metrics":
        responses["200"]["content"] = {kind: {"schema": {"type": "string"}} for kind in TEXTS}
    if path.endswith(STREAMS):
        responses["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        if "{" in path:
            responses["204"] = {"description": "The task has ended, and nothing is new"}
