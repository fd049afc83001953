"""A real server in a thread, and what a browser would read from its streams."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from tests.processes import wait_for


@dataclass(frozen=True)
class Message:
    """A server-sent event."""

    event: str
    id: str
    data: Any


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The address at which the app answers."""
    config = uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@contextmanager
def listening(url: str, **headers: str) -> Iterator[Iterator[Message]]:
    """The messages of a stream, as they come; the first line has been read."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.stream("GET", url, headers=told, timeout=5) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        assert next(lines) == "retry: 1000"
        yield messages(lines)


def messages(lines: Iterator[str]) -> Iterator[Message]:
    """Read the lines of a stream as a browser does."""
    fields = {"event": "message", "id": "", "data": ""}
    for line in lines:
        name, _, value = line.partition(": ")
        if name in fields:
            fields[name] = value
        if not line and fields["data"]:
            yield Message(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {"event": "message", "id": "", "data": ""}
