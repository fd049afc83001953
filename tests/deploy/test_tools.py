"""What the tools of each trade say of deploy/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import DEPLOY, KUBERNETES, OBJECTS, ROOT, UNITS, documents, objects

pytestmark = pytest.mark.timeout(60)
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def tool(name: str) -> str:
    """A tool of the extra `dev`."""
    found = shutil.which(name, path=PATH)
    if found is None:
        assert not os.environ.get("CI"), f"CI must have {name}: it is in the extra dev"
        pytest.skip(f"{name} is not here: pip install 'miniqueue[dev]'")
    return found


def system(name: str) -> str:
    """A tool that no Python package brings; CI may lack it too."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def run(*words: str | Path) -> str:
    """What it printed; it must be content."""
    done = subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_hadolint_is_content() -> None:
    assert run(tool("hadolint"), "--failure-threshold", "style", DEPLOY / "Dockerfile") == ""


def test_compose_fits_its_schema() -> None:
    run(
        tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"
    )


def test_kubernetes_objects_fit_their_schemas(tmp_path: Path) -> None:
    """All at once: the tool reads its schemas for seconds."""
    whole = tmp_path / "whole.yaml"
    known = [path for path in OBJECTS if path.name != "scaledobject.yaml"]
    whole.write_text("\n---\n".join(path.read_text() for path in known))
    told = run(tool("kubernetes-validate"), "--strict", whole)
    assert told.count("passed for resource") == sum(len(documents(path)) for path in known) > 5


def built(folder: Path) -> str:
    return run(system("kubectl"), "kustomize", folder)


def test_kustomize_builds_what_fits_the_schemas(tmp_path: Path) -> None:
    whole = tmp_path / "whole.yaml"
    whole.write_text(built(KUBERNETES))
    told = run(tool("kubernetes-validate"), "--strict", whole)
    assert told.count("passed for resource") == len(documents(whole))
    names = {(o["kind"], o["metadata"]["name"]) for o in documents(whole)}
    assert {("Deployment", "api"), ("Deployment", "worker"), ("StatefulSet", "valkey")} <= names
    kinds = {kind for kind, _ in names}
    assert not {"Secret", "ScaledObject"} & kinds  # no token is applied, and no KEDA is needed
    inside = [o for o in documents(whole) if o["kind"] != "Namespace"]
    assert {o["metadata"]["namespace"] for o in inside} == {"miniqueue"}


def test_keda_is_one_comment_away(tmp_path: Path) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    file = folder / "kustomization.yaml"
    text = (
        file.read_text().replace("# components:", "components:").replace("#   - keda", "  - keda")
    )
    file.write_text(text)
    found = list(yaml.safe_load_all(built(folder)))
    (scaled,) = [o for o in found if o["kind"] == "ScaledObject"]
    (worker,) = [
        o for o in found if o["kind"] == "Deployment" and o["metadata"]["name"] == "worker"
    ]
    assert scaled["spec"]["scaleTargetRef"]["name"] == "worker"
    assert "replicas" not in worker["spec"]  # or `apply` would fight with KEDA


def runnable(path: Path, folder: Path) -> Path:
    """The unit with programs and files that exist here; an instance of a template."""
    settings = folder / "miniqueue.env"
    settings.write_text((DEPLOY / "systemd" / "miniqueue.env").read_text())
    text = path.read_text().replace("/opt/miniqueue/bin/miniqueue", sys.executable)
    copy = folder / path.name.replace("@.", "@1.")
    copy.write_text(text.replace("/etc/miniqueue/miniqueue.env", str(settings)))
    return copy


@pytest.mark.parametrize("path", UNITS, ids=lambda p: str(p.stem))
def test_systemd_understands_the_units(path: Path, tmp_path: Path) -> None:
    copy = runnable(path, tmp_path)
    assert run(system("systemd-analyze"), "--man=no", "verify", copy) == ""


def test_systemd_understands_the_drop_in(tmp_path: Path) -> None:
    (tmp_path / "valkey-server.service").write_text(
        "[Service]\nType=notify\nExecStart=/bin/false\nTimeoutStopSec=0\n"
    )
    folder = tmp_path / "valkey-server.service.d"
    folder.mkdir()
    text = (DEPLOY / "systemd" / "valkey-server.conf").read_text()
    assert "/usr/bin/valkey-server" in text
    (folder / "miniqueue.conf").write_text(text.replace("/usr/bin/valkey-server", sys.executable))
    unit = tmp_path / "valkey-server.service"
    assert run(system("systemd-analyze"), "--man=no", "verify", unit) == ""


def test_the_dev_container_parses_and_its_shell_scripts_too() -> None:
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert told["image"].startswith("mcr.microsoft.com/devcontainers/python:3.")
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    run(system("bash"), "-n", script)


def test_every_yaml_file_parses_and_no_secret_is_stored() -> None:
    for path in DEPLOY.rglob("*.y*ml"):
        assert documents(path), path
    (secret,) = objects("Secret").values()
    assert {v.replace("redis://:change-me@valkey:6379/0", "change-me") for v in
            secret["stringData"].values()} == {"change-me"}  # fmt: skip
