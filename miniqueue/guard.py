"""What stands before the routes: tokens, strange origins, the limits on a caller's requests and on
a body's size. Plain ASGI.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miniqueue.errors import ConfigError
from miniqueue.problems import problem
from miniqueue.rates import Rates
from miniqueue.settings import Settings

__all__ = ["TICKET_S", "Guard", "check_binding", "check_tokens", "is_open", "is_ticket", "ticket"]

# Probes, and what holds no data: the dashboard's page, and the API's description.
OPEN = ("/healthz", "/readyz", "/", "/docs", "/openapi.json")
FILES = ("/dashboard/", "/docs/")
SENDING = ("/task", "/tasks")  # what a submit token is for
READING = ("GET", "HEAD")
TICKET_S = 30

Refusal = tuple[int, str, str]


class Guard:
    """Refuses with 401 and 403 where tokens are set, with 429 one who asks too often, and with 413
    a body over the limit.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        check_tokens(settings)
        self._app = app
        self._settings = settings
        self._limit = settings.max_body_bytes
        self._rates = Rates(settings.max_requests_s) if settings.max_requests_s else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = _foreign(scope, headers) or self._refuse(scope, headers)
        if self._rates is not None and (wait_s := self._rates.wait_s(_caller(scope, refusal))):
            await self._too_often(wait_s)(scope, receive, send)
            return
        if refusal is not None:
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

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> Refusal | None:
        if not self._settings.api_token:
            return None
        path, method = scope["path"], scope["method"]
        if is_open(path):
            return None
        if self._has_ticket(scope):
            return None
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            return 401, "Token required", "send the header `Authorization: Bearer TOKEN`"
        return self._judge(token, method, path)

    def _judge(self, token: bytes, method: str, path: str) -> Refusal | None:
        """Each token is compared, so that the time tells nothing of which is near."""
        settings = self._settings
        full = _same(token, settings.api_token)
        read, submit = _same(token, settings.read_token), _same(token, settings.submit_token)
        if full or (read and (method in READING or path == "/tickets")):
            return None
        if submit and method == "POST" and path in SENDING:
            return None
        if read:
            return 403, "Read-only token", "this token may read and nothing else"
        if submit:
            return 403, "Submit-only token", "this token may send tasks and nothing else"
        return 403, "Wrong token", "this token is not one of those of this API"

    def _has_ticket(self, scope: Scope) -> bool:
        if scope["method"] != "GET" or not scope["path"].endswith(("/events", "/live")):
            return False
        told = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [""])[0]
        return is_ticket(self._settings, told)

    def _too_often(self, wait_s: float) -> ASGIApp:
        most = self._settings.max_requests_s
        detail = f"{most:g} requests a second are allowed (MINIQUEUE_MAX_REQUESTS_S): slow down"
        return problem(429, "Too many requests", detail, retry_after_s=math.ceil(wait_s))

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


def is_open(path: str) -> bool:
    """Whether whoever has no token may have it."""
    return path in OPEN or path.startswith(FILES)


def _caller(scope: Scope, refusal: Refusal | None) -> object:
    """Who is counted: the holder of a token that was accepted, else an address."""
    token = dict(scope["headers"]).get(b"authorization")
    if token is not None and refusal is None:
        return token
    return (scope.get("client") or ("",))[0]


def ticket(settings: Settings) -> str:
    """Text for `?ticket=`: it opens a stream where an EventSource can send no header, for TICKET_S.

    Every process with the same token knows it; none has to keep it.
    """
    return _signed(settings, str(int(time.time()) + TICKET_S))


def is_ticket(settings: Settings, told: str) -> bool:
    """Whether ticket() has given this text, and it is still good."""
    until = told.partition(".")[0]
    if not until.isdecimal() or len(until) > 12 or not 0 < int(until) - time.time() <= TICKET_S:
        return False
    return hmac.compare_digest(told.encode(), _signed(settings, until).encode())


def _signed(settings: Settings, until: str) -> str:
    return f"{until}.{hmac.digest(settings.api_token.encode(), until.encode(), 'sha256').hex()}"


def _same(token: bytes, known: str) -> bool:
    return bool(hmac.compare_digest(token, known.encode())) and bool(known)


def _foreign(scope: Scope, headers: dict[bytes, bytes]) -> Refusal | None:
    """A page of another site must not send, cancel or pause in the name of who looks at it."""
    if scope["method"] in READING:
        return None
    site = headers.get(b"sec-fetch-site")
    if site is None and b"origin" in headers:  # an old browser
        host = urlsplit(headers[b"origin"].decode("latin-1")).netloc
        site = b"same-origin" if host.encode() == headers.get(b"host") else b"cross-site"
    if site != b"cross-site":
        return None
    return 403, "Another site", "requests from pages of other sites are refused (no CORS)"


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_tokens(settings: Settings) -> None:
    """Raise ConfigError for tokens that would not do what their owner thinks."""
    told = {n: getattr(settings, n) for n in ("api_token", "read_token", "submit_token")}
    given = {name: value for name, value in told.items() if value}
    if given and not settings.api_token:
        raise ConfigError(
            f"MINIQUEUE_{min(given).upper()} is set and MINIQUEUE_API_TOKEN is not: the API would "
            "answer anybody; set both"
        )
    if len(set(given.values())) < len(given):
        raise ConfigError("two of the tokens are the same: each needs a value of its own")


def check_binding(settings: Settings) -> None:
    """Raise ConfigError for an address that others can reach, unless a token is set, and for
    tokens that check_tokens() refuses.
    """
    check_tokens(settings)
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
