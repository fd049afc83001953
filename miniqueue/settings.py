"""Settings: one frozen object, read from MINIQUEUE_* variables, checked, passed down, never global.

`Settings()` has the defaults, `Settings.from_env()` reads the environment, `dataclasses.replace`
changes one value. Each field carries its bounds and its sentence for docs/settings.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from miniqueue.errors import ConfigError

__all__ = ["Settings", "check_name"]

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(kind: str, name: str) -> str:
    """Return `name` if it may be part of a Redis key and of a task id, else raise ConfigError."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{kind} {name!r}: use 1 to 64 letters, digits, '_' or '-'")
    return name


def _setting(default: Any, doc: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "low": low, "high": high})


def _secret(default: str, doc: str) -> Any:
    """A setting that repr() leaves out, since it is or has a password."""
    return field(default=default, repr=False, metadata={"doc": doc, "low": None, "high": None})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. The variable of `lease_s` is MINIQUEUE_LEASE_S, and so on."""

    redis_url: str = _secret(
        "redis://127.0.0.1:6379/0",
        "Where Redis or Valkey answers; [redis.md](redis.md) has all forms. REDIS_URL is read too.",
    )
    namespace: str = _setting("mq", "First word of every key: one Redis can serve a whole class.")
    queue: str = _setting("default", "The queue used when none is named.")
    lease_s: float = _setting(
        15.0,
        "A worker's right to a task; renewed at a third, taken back when it runs out.",
        0.2,
        3600,
    )
    keep_s: float = _setting(
        3600.0, "How long a finished task and its result stay.", 0.1, 31_536_000
    )
    keep_failed_s: float = _setting(
        604_800.0, "How long a failed task stays in the dead-letter set.", 0.1, 31_536_000
    )
    max_attempts: int = _setting(3, "Claims of a task before it ends in `failed`.", 1, 1000)
    timeout_s: float = _setting(3600.0, "The longest one attempt may run.", 0.01, 604_800)
    grace_s: float = _setting(
        10.0, "After SIGTERM: time for running tasks before they are released.", 0, 3600
    )
    concurrency: int = _setting(1, "Tasks that one worker process runs at once.", 1, 1000)
    prefetch_ms: float = _setting(
        20.0,
        "A worker holds no more unstarted work than it expects to start in this time.",
        0,
        10_000,
    )
    batch: int = _setting(64, "The most tasks that one claim hands out.", 1, 100)
    max_queued: int = _setting(
        1_000_000, "The most tasks that may wait in one queue.", 1, 1_000_000_000
    )
    max_bulk: int = _setting(1000, "The most tasks in one bulk call.", 1, 5000)
    max_body_bytes: int = _setting(
        1_048_576, "The largest HTTP body and the largest arguments.", 256, 1 << 29
    )
    max_result_bytes: int = _setting(1_048_576, "The largest result of a task.", 16, 1 << 29)
    max_log_lines: int = _setting(200, "Log lines kept with a task, the newest ones.", 1, 10_000)
    max_pieces: int = _setting(
        10_000, "Pieces of emitted output kept with a task, the newest ones.", 1, 1_000_000
    )
    events_kept: int = _setting(
        10_000, "Entries kept in the event stream of a queue.", 100, 10_000_000
    )
    max_streams: int = _setting(
        200, "Server-sent event streams that one API process serves at once.", 0, 100_000
    )
    max_requests_s: float = _setting(
        0.0,
        "HTTP requests a second of one caller (its token, else its address); 0: no limit.",
        0,
        1_000_000,
    )
    max_queues: int = _setting(
        1000, "The most queues that the HTTP API sends to, in one namespace.", 1, 1_000_000
    )
    host: str = _setting("127.0.0.1", "The address the API binds.")
    port: int = _setting(8000, "The port the API binds.", 0, 65_535)
    api_token: str = _secret(
        "", "The token that every request must carry; empty: none, loopback only."
    )
    read_token: str = _secret("", "A token that may only read.")
    submit_token: str = _secret("", "A token that may only send tasks.")
    imports: str = _setting("", "Modules with task functions, comma-separated (MINIQUEUE_IMPORT).")
    log_json: bool = _setting(
        False, "Worker and API log one JSON object a line ([observability.md](observability.md))."
    )

    tracing: bool = _setting(
        False, "Traces with OpenTelemetry ([observability.md](observability.md)), extra `tracing`."
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            low, high = f.metadata["low"], f.metadata["high"]
            value = getattr(self, f.name)
            if low is not None and not low <= value <= high:
                raise ConfigError(
                    f"{variable(f.name)}={value} is out of bounds: {low:,} to {high:,}"
                )
        check_name("MINIQUEUE_NAMESPACE", self.namespace)
        check_name("MINIQUEUE_QUEUE", self.queue)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read MINIQUEUE_* (and REDIS_URL); raise ConfigError for a value that cannot be used."""
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        if environ.get("REDIS_URL"):
            found["redis_url"] = environ["REDIS_URL"]
        for f in fields(cls):
            text = environ.get(variable(f.name), "")
            if text:
                found[f.name] = _parse(variable(f.name), text, type(f.default))
        return cls(**found)

    def but(self, **changes: Any) -> Settings:
        """These settings with some changed; None means: leave it."""
        return replace(self, **{name: v for name, v in changes.items() if v is not None})

    def environ(self) -> dict[str, str]:
        """The variables that give a subprocess these settings."""
        values = {variable(f.name): getattr(self, f.name) for f in fields(self)}
        return {
            name: str(int(v) if isinstance(v, bool) else v) for name, v in values.items() if v != ""
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules to import, from MINIQUEUE_IMPORT."""
        return tuple(m.strip() for m in self.imports.split(",") if m.strip())


def variable(name: str) -> str:
    """The environment variable of a field."""
    return "MINIQUEUE_IMPORT" if name == "imports" else f"MINIQUEUE_{name.upper()}"


def _parse(name: str, text: str, kind: type[Any]) -> Any:
    if kind is bool:
        if text.lower() not in ("0", "1", "false", "true", "no", "yes"):
            raise ConfigError(f"{name}={text!r}: say 1 or 0")
        return text.lower() in ("1", "true", "yes")
    try:
        return kind(text)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name}={text!r} is not {noun}") from None
