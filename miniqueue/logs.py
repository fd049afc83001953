"""Logs of worker and API: text for people, or one JSON object a line (MINIQUEUE_LOG_JSON).

    {"time": "2026-01-31T12:00:00.123Z", "level": "WARNING", "logger": "miniqueue.worker",
     "message": "...", "task_id": "...", "function": "add", "attempt": 1, "exception": "..."}

The three of a task are there where a task runs. In JSON what tasks print is told like a log line,
of the logger `stdout`. Tokens and the passwords of the Redis URL never appear, whoever logs them.
"""

from __future__ import annotations

import contextvars
import copy
import io
import json
import logging
import re
import sys
import threading
import time
from typing import IO, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from miniqueue.middleware import CURRENT
from miniqueue.outcome import Run
from miniqueue.settings import Settings

__all__ = ["JsonLines", "Printed", "Secrets", "install", "uvicorn_config"]

log = logging.getLogger("miniqueue")
SHORTEST = 4  # characters of a secret: what is shorter stands in every other word
TICKET = re.compile(r"(?<=\bticket=)[^&\s\"']+")  # opens a stream for 30 s (guard.py)
HIDDEN = "***"


def install(settings: Settings) -> None:
    """Set up the logging of a worker process."""
    handler, secrets = logging.StreamHandler(), Secrets(settings)
    handler.addFilter(secrets)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    if settings.log_json:
        handler.setFormatter(JsonLines())
        sys.stdout = Printed(sys.stdout, secrets)
        logging.captureWarnings(True)
        sys.excepthook = lambda *raised: log.critical("the process ends", exc_info=raised)
        threading.excepthook = lambda args: log.critical("a thread ends", exc_info=args.exc_value)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def uvicorn_config(settings: Settings) -> dict[str, Any]:
    """What uvicorn takes as `log_config`: its own, without secrets, or JSON."""
    from uvicorn.config import LOGGING_CONFIG

    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"secrets": {"()": "miniqueue.logs.Secrets"}}
    if settings.log_json:
        config["formatters"] = {"json": {"()": "miniqueue.logs.JsonLines"}}
        config["handlers"] = {"json": {"class": "logging.StreamHandler", "formatter": "json"}}
        config["root"] = {"level": "INFO", "handlers": ["json"]}
        config["loggers"] = {"uvicorn": {"level": "INFO"}, "uvicorn.access": {"level": "INFO"}}
    for handler in config["handlers"].values():
        handler["filters"] = ["secrets"]
    return config


class JsonLines(logging.Formatter):
    """A log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        trace = record.exc_text or (record.exc_info and self.formatException(record.exc_info))
        told = {"message": record.getMessage()} | ({"exception": trace} if trace else {})
        return _line(record.created, record.levelname, record.name, told, CURRENT.get())


class Secrets(logging.Filter):
    """Hides tokens and passwords in whatever is logged."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self._secrets = _secrets(Settings.from_env() if settings is None else settings)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(self._hidden(arg) for arg in record.args)
        elif record.args:
            record.args = {name: self._hidden(arg) for name, arg in record.args.items()}
        if record.exc_info and record.exc_info[0] and not record.exc_text:
            record.exc_text = self.hide(logging.Formatter().formatException(record.exc_info))
        return True

    def _hidden(self, value: Any) -> Any:
        """The value itself, unless its text has a secret."""
        if isinstance(value, (int, float)):
            return value
        text = str(value)
        hidden = self.hide(text)
        return value if hidden == text else hidden

    def hide(self, text: str) -> str:
        """The text with stars for the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return TICKET.sub(HIDDEN, text)


class Printed(io.TextIOBase):
    """Standard output as lines of JSON; what is printed in pieces waits for the end of its line."""

    def __init__(self, to: IO[str], secrets: Secrets) -> None:
        self._to = to
        self._secrets = secrets
        self._open: contextvars.ContextVar[tuple[Run | None, str]] = contextvars.ContextVar(
            "printed", default=(None, "")
        )  # of each thread and coroutine: whose line has begun, and the line

    def write(self, text: str) -> int:
        run, (owner, begun) = CURRENT.get(), self._open.get()
        if begun and owner is not run:  # the task before this one ended its output in mid-line
            self._tell(begun, owner)
            begun = ""
        *whole, rest = (begun + text).split("\n")
        for line in whole:
            self._tell(line, run)
        self._open.set((run, rest))
        return len(text)

    def _tell(self, line: str, run: Run | None) -> None:
        told = {"message": self._secrets.hide(line)}
        self._to.write(_line(time.time(), "INFO", "stdout", told, run) + "\n")
        self._to.flush()

    def flush(self) -> None:
        self._to.flush()

    def fileno(self) -> int:
        return self._to.fileno()


def _line(at: float, level: str, logger: str, told: dict[str, str], run: Run | None) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
    line: dict[str, Any] = {"time": moment, "level": level, "logger": logger, **told}
    if run is not None:
        line |= {"task_id": run.task.id, "function": run.task.name, "attempt": run.task.attempt}
    return json.dumps(line, ensure_ascii=False).encode(errors="replace").decode()


def _secrets(settings: Settings) -> list[str]:
    """All that must not be shown, as it is and as it stands in a URL; the longest ones first."""
    parts = urlsplit(settings.redis_url)
    own = [settings.api_token, settings.read_token, settings.submit_token, parts.password or ""]
    own += [value for name, value in parse_qsl(parts.query) if "password" in name]
    found = {form for secret in own for form in _forms(secret) if len(form) >= SHORTEST}
    return sorted(found, key=len, reverse=True)


def _forms(secret: str) -> set[str]:
    plain = unquote(secret)
    return {secret, plain, quote(plain, safe=""), repr(plain)[1:-1]}
