"""The pages of docs/features: their examples run, their commands parse, their keys are real."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from miniqueue.api import app
from miniqueue.cli import build_parser
from miniqueue.protocol import keys
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import default_registry
from miniqueue.schemas import ManyTasksIn, ScheduleIn, TaskIn
from miniqueue.settings import Settings, variable
from miniqueue.worker import Worker
from tests.capture import captured
from tests.worker.running import running

ROOT = Path(__file__).parents[2]
FEATURES = ROOT / "docs" / "features"
PAGES = sorted(FEATURES.glob("*.md"))
IDS = [page.stem for page in PAGES]
BODIES: dict[str, type[BaseModel]] = {"/task": TaskIn, "/tasks": ManyTasksIn}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(program: str) -> list[str]:
    """All lines of the pages that call a program; a backslash joins two lines."""
    text = "\n".join(block for page in PAGES for block in blocks(page, "bash"))
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(f"{program} ")]


@pytest.fixture
def worker(redis_url: str, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker of the default queue, on the server that `Queue()` finds; it knows all functions."""
    monkeypatch.setenv("MINIQUEUE_REDIS_URL", redis_url)
    registered = dict(default_registry._functions)
    queue = Queue(client=client)
    with running(Worker(queue), queue) as worker:
        yield worker
    default_registry._functions.clear()
    default_registry._functions.update(registered)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_examples_run(page: Path, worker: Worker) -> None:
    text = page.read_text()
    examples = blocks(page, "python")
    assert examples
    namespace: dict[str, Any] = {"__name__": f"docs_{page.stem.replace('-', '_')}"}
    with captured():
        for example in examples:
            above = text[: text.index(example)].count("\n")  # a traceback names the page's line
            exec(compile("\n" * above + example, str(page), "exec"), namespace)
    for value in namespace.values():
        if isinstance(value, Queue):
            value.client.close()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_has_a_title_an_assert_limits_and_keys(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert "**Limits.**" in text
    assert "**Keys.**" in text
    trees = [ast.parse(example) for example in blocks(page, "python")]
    assert any(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_keys_and_settings_are_real(page: Path) -> None:
    text = page.read_text()
    known = set(re.findall(r"(?:M|mq):[A-Za-z:]+", keys.__doc__ or ""))
    named = {name.replace("PRIORITY", "high") for name in re.findall(r"`((?:M|mq):[^`{]+)`", text)}
    assert named <= known
    settings = {variable(name) for name in Settings.__slots__}
    assert set(re.findall(r"MINIQUEUE_[A-Z_]+", text)) <= settings


@pytest.mark.parametrize("line", commands("miniqueue"))
def test_commands_parse(line: str) -> None:
    parsed = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert isinstance(parsed, argparse.Namespace)


@pytest.mark.parametrize("line", commands("curl"))
def test_requests_have_a_route_and_a_body_that_fits(line: str) -> None:
    words = shlex.split(line)
    (url,) = [word for word in words if word.startswith("localhost:8000")]
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    path = url.removeprefix("localhost:8000").partition("?")[0]
    routes = [
        route
        for route, methods in app.openapi()["paths"].items()
        if method.lower() in methods and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)
    ]
    assert routes, f"there is no {method} {path}"
    if "-d" in words:
        body = json.loads(words[words.index("-d") + 1])
        BODIES.get(path, ScheduleIn).model_validate(body)


def rows() -> list[tuple[str, str, str]]:
    """The table of docs/features.md: row, how to use it, tests."""
    text = (ROOT / "docs" / "features.md").read_text()
    cells = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if "| `" in line]
    return [(row, use, tests) for row, use, tests in cells]


@pytest.mark.parametrize("row", rows(), ids=[row[0] for row in rows()])
def test_a_feature_is_held_by_tests_that_exist(row: tuple[str, str, str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[2])
    assert named
    assert len(named) == row[2].count("::")
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"


def test_every_page_is_in_the_table_of_features() -> None:
    text = (ROOT / "docs" / "features.md").read_text()
    assert [page.name for page in PAGES if f"features/{page.name})" not in text] == []
