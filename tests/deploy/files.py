"""The files of deploy/, read as what runs them reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PAGE = ROOT / "docs" / "deploy.md"
OBJECTS = sorted(p for p in KUBERNETES.rglob("*.yaml") if p.name != "kustomization.yaml")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
STUCK_S = 5  # how long a worker tries to interrupt code that does not return (worker.STUCK_S)


def documents(path: Path) -> list[dict[str, Any]]:
    """All documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def objects(kind: str) -> dict[str, dict[str, Any]]:
    """The Kubernetes objects of a kind, by name."""
    found = (document for path in OBJECTS for document in documents(path))
    return {o["metadata"]["name"]: o for o in found if o["kind"] == kind}


def compose() -> dict[str, Any]:
    """deploy/compose.yaml, as it is written: merges done, ${VARIABLES} left."""
    return dict(documents(DEPLOY / "compose.yaml")[0])


def literals() -> dict[str, str]:
    """The settings that all pods get."""
    (generator,) = documents(KUBERNETES / "base" / "kustomization.yaml")[0]["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


def unit(path: Path) -> dict[str, list[str]]:
    """Key -> values of a unit, all sections together."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def environment(path: Path) -> dict[str, str]:
    """KEY=VALUE lines."""
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


def instruction(name: str) -> list[str]:
    """The arguments of each Dockerfile instruction of that name; continued lines are joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def seconds(text: str) -> float:
    """A duration of Compose, like 40s."""
    match = re.fullmatch(r"([0-9]+)s", text)
    assert match is not None, text
    return float(match[1])
