"""The documentation is generated where it can be, complete, and its links are alive."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from miniqueue.api import app
from miniqueue.cli import build_parser
from miniqueue.options import Options
from miniqueue.protocol.calls import scripts
from miniqueue.settings import Settings, variable
from miniqueue.task import TaskState

ROOT = Path(__file__).parents[2]
PAGES = [
    p
    for p in sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")])
    if not {".venv", "out", "node_modules", ".ipynb_checkpoints"} & set(p.relative_to(ROOT).parts)
]
IDS = [str(p.relative_to(ROOT)) for p in PAGES]


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    ["protocol.md", "settings.md", "http.md", "command-line.md", "performance.md", "teaching.md"],
)
def test_generated_pages_are_up_to_date(generate: ModuleType, name: str) -> None:
    assert generate.PAGES[name]() == read(name), "run `make docs`"


def test_the_readme_shows_rows_of_the_stored_comparison() -> None:
    results = (ROOT / "benchmarks" / "results" / "peers.md").read_text()
    rows = [row for row in (ROOT / "README.md").read_text().splitlines() if row.startswith("| ")]
    shown = [row for row in rows if "at least once" in row or "at most once" in row]
    assert len(shown) >= 9
    assert [row for row in shown if row not in results] == []


def test_every_setting_script_state_and_option_is_named() -> None:
    settings, protocol, python = read("settings.md"), read("protocol.md"), read("python.md")
    assert [v for f in fields(Settings) if (v := variable(f.name)) not in settings] == []
    assert [name for name in scripts() if f"### {name}\n" not in protocol] == []
    assert [state for state in TaskState if state not in protocol] == []
    assert [name for name in Options.__slots__ if f"`{name}" not in python] == []


def test_every_route_is_named() -> None:
    page = read("http.md")
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page


def commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child.prog
                yield from commands(child)


def test_every_command_is_named_and_described() -> None:
    page = read("command-line.md")
    assert [prog for prog in commands(build_parser()) if f"## {prog}\n" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_are_alive(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_blocks_are_python(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(block, page.name, "exec")


def test_no_page_names_a_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/root/|/home/\w|/tmp/\w", page.read_text()), page
