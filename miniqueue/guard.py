"""What stands before the routes: the limit on a body's size, and the tokens. Plain ASGI."""

from __future__ import annotations

import hmac
import ipaddress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miniqueue.errors import ConfigError
from miniqueue.problems import problem
from miniqueue.settings import Settings

__all__ = ["Guard", "check_binding"]

OPEN = ("/healthz", "/readyz")  # a probe needs no token


class Guard:
    """Refuses with 401 and 403 where tokens are set, and with 413 a body over the limit."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._limit = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if (refusal := self._refuse(scope, headers)) is not None:
            await problem(*refusal)(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limit:
            await self._too_large(scope, receive, send)
            return
        if b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:
            await self._too_large(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        full, read = self._settings.api_token, self._settings.read_token
        if not full or scope["path"] in OPEN:
            return None
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            return 401, "Token required", "send the header `Authorization: Bearer TOKEN`"
        if hmac.compare_digest(token, full.encode()):
            return None
        if read and hmac.compare_digest(token, read.encode()):
            if scope["method"] in ("GET", "HEAD"):
                return None
            return 403, "Read-only token", "this token may read and nothing else"
        return 403, "Wrong token", "this token is not the one of MINIQUEUE_API_TOKEN"

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the body is over {self._limit:,} bytes (MINIQUEUE_MAX_BODY_BYTES)"
        await problem(413, "Payload too large", detail, limit=self._limit)(scope, receive, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """A body sent in chunks, which says no length; None where it is over the limit."""
        body = b""
        while True:
            message = await receive()
            body += bytes(message.get("body", b""))
            if len(body) > self._limit:
                return None
            if not message.get("more_body"):
                return body


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_binding(settings: Settings) -> None:
    """Raise ConfigError for an address that others can reach, unless a token is set."""
    if settings.api_token or settings.host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            f"the API would answer anybody on {settings.host}: set MINIQUEUE_API_TOKEN, "
            "or bind 127.0.0.1"
        )
