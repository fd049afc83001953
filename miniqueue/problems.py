"""Errors as HTTP says them: RFC 9457 problem+json, from one table of classes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from miniqueue.errors import STATUS

__all__ = ["install", "problem"]


def problem(status: int, title: str, detail: str, **extra: Any) -> JSONResponse:
    """A problem document; `extra` are members that a program can read."""
    headers = {"Retry-After": str(extra["retry_after_s"])} if "retry_after_s" in extra else None
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have the app answer each kind of error with a problem document."""
    for kind in STATUS:
        app.add_exception_handler(kind, _queue_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


async def _queue_error(request: Request, error: Exception) -> JSONResponse:
    kind = next(k for k in type(error).__mro__ if k in STATUS)
    status, title = STATUS[kind]
    data = {k: v for k, v in vars(error).items() if v is not None and k not in ("problem", "log")}
    detail = f"task {data['index']} of the call: {error}" if "index" in data else str(error)
    if status == 503:
        data["retry_after_s"] = 1
        request.app.state.outages.note()
    return problem(status, title, detail, **data)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [(".".join(map(str, e["loc"][1:])), e["msg"], e) for e in error.errors()]
    for where, message, e in found:
        if e["type"] == "json_invalid":
            reason = e.get("ctx", {}).get("error", message)
            return problem(
                422, "Broken JSON", f"the body is not JSON: {reason} (character {where})"
            )
    detail = "; ".join(f"{where}: {message}" if where else message for where, message, _ in found)
    errors = [{"where": where, "message": message} for where, message, _ in found]
    return problem(422, "Unusable value", detail, errors=errors)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    if error.status_code == 400:  # FastAPI could not even decode the body
        return problem(422, "Broken JSON", "the body is not JSON in UTF-8")
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 405:  # Starlette tells the methods of one route alone
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        detail = f"{request.method} {request.url.path}: say {headers['Allow']}"
    elif detail == title:
        detail = f"{request.method} {request.url.path}: there is no such route; see /docs"
    response = problem(error.status_code, title, detail)
    response.headers.update(headers)
    return response


def _methods(request: Request) -> set[str]:
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            found |= route.methods or set()
    return found
