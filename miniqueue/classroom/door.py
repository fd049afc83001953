"""One API for a class: each token opens the application of one student, and no other.

An application is made when its student first comes, with the student's namespace and limits; all it
knows of other students is nothing. `MINIQUEUE_CLASS=spring.class.json uvicorn
miniqueue.classroom.door:app` works; `miniqueue class serve` does it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from miniqueue.api import create_app
from miniqueue.classroom.students import Class, Student
from miniqueue.errors import ConfigError
from miniqueue.guard import is_open, is_ticket
from miniqueue.problems import problem
from miniqueue.rates import Rates
from miniqueue.settings import Settings

__all__ = ["FILE", "Door", "create_door"]

FILE = "MINIQUEUE_CLASS"  # the path of the class file
STRANGE_A_SECOND = 5.0  # requests of one address with tokens that are nobody's
Answer = tuple[int, str, str]


class Door:
    """Plain ASGI: finds the student, and hands the request over."""

    def __init__(self, found: Class, settings: Settings) -> None:
        self._class = found
        self._settings = settings
        self._apps: dict[str, FastAPI] = {}
        self._tokens: dict[str, Settings] = {}
        self._lobby = create_app(settings.but(api_token="-", namespace=found.name))
        self._open = AsyncExitStack()
        self._making = asyncio.Lock()
        self._rates = Rates(STRANGE_A_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await (await self._app_for(scope))(scope, receive, send)

    async def _app_for(self, scope: Scope) -> ASGIApp:
        """The application that answers; a problem is one, too."""
        path = scope["path"]
        if is_open(path):
            return self._lobby
        headers = dict(scope["headers"])
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and (student := self._class.of_token(token)):
            return await self._app_of(student, token.decode("latin-1"))
        if name := self._of_ticket(scope):
            return self._apps[name]
        if wait_s := self._rates.wait_s((scope.get("client") or ("",))[0]):
            return problem(429, "Too many requests", "slow down", retry_after_s=int(wait_s) + 1)
        if kind.lower() != b"bearer":
            return problem(401, "Token required", "send the header `Authorization: Bearer TOKEN`")
        return problem(403, "Wrong token", "this token is nobody's in this class")

    def _of_ticket(self, scope: Scope) -> str | None:
        """Whose ticket opens this stream; it was asked for with a token a moment ago."""
        told = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])[0]
        return next((n for n, s in self._tokens.items() if told and is_ticket(s, told)), None)

    async def _app_of(self, student: Student, token: str) -> FastAPI:
        async with self._making:
            if student.name not in self._apps:
                own = student.settings(self._settings, self._class.limits, token)
                app = create_app(own)
                await self._open.enter_async_context(app.router.lifespan_context(app))
                self._apps[student.name], self._tokens[student.name] = app, own
        return self._apps[student.name]

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and end with the server, and with it all that was made meanwhile."""
        await receive()
        async with self._open:
            await self._open.enter_async_context(self._lobby.router.lifespan_context(self._lobby))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def create_door() -> Door:
    """The door of the class whose file MINIQUEUE_CLASS names. Raises ConfigError."""
    if not os.environ.get(FILE):
        raise ConfigError(f"{FILE} names no class file: `miniqueue class new` writes one")
    return Door(Class.load(Path(os.environ[FILE])), Settings.from_env())
