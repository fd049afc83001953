"""Log lines: JSON that parses whatever is logged, and no secret in any form."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from miniqueue.logs import JsonLines, Printed, Secrets, uvicorn_config
from miniqueue.middleware import CURRENT
from miniqueue.outcome import Run
from miniqueue.protocol.records import Claimed
from miniqueue.settings import Settings

TOKEN, PASSWORD = "token-1234", "pw-7f/3a#Q@s:x"
SETTINGS = Settings(
    redis_url="redis://me:pw-7f%2F3a%23Q%40s%3Ax@h:1/0?sentinel_password=deep-secret",
    api_token=TOKEN,
    read_token="abc",
)


def a_run(task_id: str = "t1") -> Run:
    claimed = Claimed(task_id, 2, "add", "[]", None, 3, 0, None)
    return Run(claimed, None, time.monotonic(), 0, time.monotonic() + 9)


@pytest.fixture
def running() -> Iterator[Run]:
    """A task runs in this context."""
    token = CURRENT.set(a_run())
    run = CURRENT.get()
    assert run is not None
    yield run
    CURRENT.reset(token)


def record(message: object, *args: object, exc_info: Any = None) -> logging.LogRecord:
    return logging.LogRecord("mine", logging.WARNING, "x.py", 1, message, args, exc_info)


def shown(one: logging.LogRecord) -> dict[str, Any]:
    """What is written for a record, by the handler of a process with SETTINGS."""
    assert Secrets(SETTINGS).filter(one)
    line = JsonLines().format(one)
    assert "\n" not in line
    told: dict[str, Any] = json.loads(line)
    return told


def test_a_line_has_time_level_logger_and_message() -> None:
    told = shown(record("%d of %s", 3, "four"))
    assert told.pop("time").startswith(time.strftime("%Y-%m-%dT"))
    assert told == {"level": "WARNING", "logger": "mine", "message": "3 of four"}


def test_a_line_of_a_task_says_which(running: Run) -> None:
    told = shown(record("hello"))
    assert (told["task_id"], told["function"], told["attempt"]) == ("t1", "add", 2)


@pytest.mark.parametrize("text", ['"', "a\nb", "\x00", "ü€🚀", "\ud800", "\x1b[31m", "%s %d"])
def test_whatever_is_logged_is_one_line(text: str) -> None:
    assert shown(record(text))["message"] == text.replace("\ud800", "?")


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError(f"no {TOKEN} here")
    except ValueError as error:
        told = shown(record("failed", exc_info=(type(error), error, error.__traceback__)))
    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("ValueError: no *** here")


@pytest.mark.parametrize(
    "secret", [TOKEN, PASSWORD, "pw-7f%2F3a%23Q%40s%3Ax", "deep-secret", SETTINGS.redis_url]
)
def test_secrets_are_hidden_wherever_they_stand(secret: str) -> None:
    for one in (
        record(f"a {secret} b"),
        record("a %s b", secret),
        record("%(x)s", {"x": secret}),
        record("%s", ValueError(secret)),
        record("%s", [secret]),
    ):
        text = json.dumps(shown(one))
        assert "***" in text
        for hidden in (TOKEN, PASSWORD, "pw-7f", "deep-secret"):
            assert hidden not in text


def test_what_is_no_secret_is_left_as_it_is() -> None:
    one = record("abc %s %5.1f", "abcd", 2.0)  # a token of three letters stands everywhere
    assert shown(one)["message"] == "abc abcd   2.0"


def test_tickets_are_hidden_in_requests() -> None:
    told = shown(record('%s - "%s %s"', "127.0.0.1", "GET", "/events?ticket=17.af09&after=0"))
    assert told["message"] == '127.0.0.1 - "GET /events?ticket=***&after=0"'


def lines(to: io.StringIO) -> list[tuple[str, str | None]]:
    told = [json.loads(line) for line in to.getvalue().splitlines()]
    assert {one["logger"] for one in told} <= {"stdout"}
    return [(one["message"], one.get("task_id")) for one in told]


def test_prints_are_lines_of_their_task(running: Run) -> None:
    to = io.StringIO()
    printed = Printed(to, Secrets(SETTINGS))
    print("one", 1, file=printed)
    print("two\nthree", end="", file=printed)
    assert lines(to) == [("one 1", "t1"), ("two", "t1")]
    token = CURRENT.set(a_run("t2"))
    print("four", file=printed)
    CURRENT.reset(token)
    assert lines(to)[2:] == [("three", "t1"), ("four", "t2")]


def test_prints_of_nobody_are_lines_too() -> None:
    to = io.StringIO()
    print("hello", TOKEN, file=Printed(to, Secrets(SETTINGS)))
    assert lines(to) == [("hello ***", None)]


def test_uvicorn_writes_as_it_did_but_for_secrets() -> None:
    told = uvicorn_config(Settings())
    assert set(told["handlers"]) == {"default", "access"}
    assert all(handler["filters"] == ["secrets"] for handler in told["handlers"].values())
