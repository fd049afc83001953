"""The rooms of the house: who imports whom, how long a module may be, what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "miniqueue"
MODULES = sorted(PACKAGE.rglob("*.py"))
LAZY = {"cli_classroom", "doctor"}  # what they import of the classroom, they import in a function


def order() -> list[str]:
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Modules")[1]
    return re.findall(r"^\| ([\w.*]+) \|", table, re.MULTILINE)[1:]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room(name: str) -> str:
    """The row of the table that a module stands in."""
    first = name.split(".")[0]
    return f"{first}.*" if first in ("classroom", "examples") else name


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The miniqueue modules that a file imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("miniqueue"):
            module = (node.module or "").removeprefix("miniqueue").lstrip(".")
            for alias in node.names:
                full = f"{module}.{alias.name}".lstrip(".")
                yield (full if exists(full) else module), id(node) not in top
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("miniqueue."):
                    yield alias.name.removeprefix("miniqueue."), id(node) not in top


def exists(name: str) -> bool:
    path = PACKAGE / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_every_module_is_in_the_table() -> None:
    files = {room(name_of(p)) for p in MODULES if p.name not in ("__init__.py", "__main__.py")}
    assert files - {"classroom.*"} == set(order()) - {"classroom.*"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_below(path: Path) -> None:
    name = name_of(path)
    if path.name in ("__init__.py", "__main__.py"):
        return
    rooms = order()
    for imported, lazily in imports(path):
        if imported in ("", "__version__", "classroom") or imported.endswith("__init__"):
            continue
        if room(imported) == "classroom.*" and name in LAZY:
            assert lazily, f"{name} imports {imported} at its top"
        elif room(imported) != room(name):
            assert rooms.index(room(imported)) < rooms.index(room(name)), f"{name} -> {imported}"


def test_only_the_clients_import_redis() -> None:
    found = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if (
            isinstance(node, ast.Import)
            and any(a.name.split(".")[0] == "redis" for a in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "redis")
    }
    assert found == {"dial", "redis_client"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert length <= 40, f"{path.name}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.lua")), ids=lambda p: str(p.stem))
def test_scripts_have_a_header_and_fit_on_a_screen(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = [line for line in lines if line.startswith("--")]
    assert header[0].startswith(f"-- {path.stem}: ")
    for word in ("KEYS", "ARGV", "Returns", "Cost"):
        assert any(line.startswith(f"-- {word} ") for line in header), f"no {word} in the header"
    assert len(lines) - len(header) <= 60
    assert not re.search(r"'(KEYS|SCAN)'", path.read_text())


def names(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module defines."""
    if isinstance(node, ast.If):  # if TYPE_CHECKING
        return [name for inner in node.body for name in names(inner)]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        each = (part for target in node.targets for part in getattr(target, "elts", [target]))
        return [getattr(part, "id", "") for part in each]
    if isinstance(node, ast.AnnAssign):
        return [getattr(node.target, "id", "")]
    return [getattr(node, "name", "")]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_lists_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text())
    listed: list[str] | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            listed = [element.value for element in node.value.elts]  # type: ignore[attr-defined]
    if listed is None:
        return
    defined = {name for node in tree.body for name in names(node)}
    assert set(listed) <= defined
    assert len(listed) == len(set(listed))


def loaded(statement: str) -> set[str]:
    """The top modules that it imports, and those of miniqueue by their whole names.

    As where the extra `tracing` is not installed: redis-py imports an OpenTelemetry that it finds.
    """
    code = f"import sys; sys.modules['opentelemetry.sdk'] = None; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(done.stdout.split())
    return {name.split(".")[0] for name in names} | {n for n in names if n.startswith("miniqueue.")}


def test_import_miniqueue_needs_redis_alone() -> None:
    heavy = {"fastapi", "pydantic", "uvicorn", "httpx", "matplotlib", "numpy", "scipy", "rich"}
    assert loaded("import miniqueue") & heavy == set()
    assert loaded("import miniqueue.worker, miniqueue.inspector") & heavy == set()
    assert loaded("import miniqueue.cli") & heavy == set()


def test_a_worker_starts_without_what_it_may_never_need() -> None:
    rarely = {"miniqueue.inspector", "miniqueue.views", "miniqueue.api", "miniqueue.classroom"}
    at_start = loaded("import miniqueue.cli, miniqueue.worker")
    assert at_start & (rarely | {"zoneinfo", "cronsim", "ctypes"}) == set()
    assert "miniqueue.lane" in at_start


def test_being_watched_costs_a_start_nothing() -> None:
    watching = {"prometheus_client", "miniqueue.prometheus"}
    watching |= {"miniqueue.spans", "miniqueue.tracing", "miniqueue.traced"}
    assert loaded("import miniqueue.cli, miniqueue.worker") & watching == set()
    assert loaded("import miniqueue.api") & watching == set()


def test_the_stack_needs_no_charts() -> None:
    heavy = {"matplotlib", "numpy", "scipy"}
    assert loaded("from miniqueue.classroom import Stack") & heavy == set()
