"""deploy/ and its page name settings, commands, routes, keys and files that exist, and agree."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from miniqueue import __version__, worker
from miniqueue.api import MAX_WAIT_S, app
from miniqueue.cli import build_parser
from miniqueue.protocol.keys import QueueKeys
from miniqueue.settings import Settings, variable
from tests.deploy.files import (
    DEPLOY,
    KUBERNETES,
    PAGE,
    ROOT,
    STUCK_S,
    UNITS,
    compose,
    documents,
    environment,
    instruction,
    literals,
    objects,
    seconds,
    unit,
)

FILES = [
    *(p for p in sorted(DEPLOY.rglob("*")) if p.is_file() and p.suffix != ".json"),
    *(p for name in ("binder", ".devcontainer") for p in sorted((ROOT / name).iterdir())),
    PAGE,
]
IMAGE = f"miniqueue:{__version__}"


def commands(text: str) -> list[str]:
    """The lines of its bash blocks; a backslash joins two."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {variable(name) for name in Settings.__slots__}
    assert set(re.findall(r"MINIQUEUE_[A-Z_]+\b", path.read_text())) <= {*known, "MINIQUEUE_"}


def test_the_values_are_within_bounds() -> None:
    (common,) = [documents(DEPLOY / "compose.yaml")[0]["x-settings"]]
    plain = {k: v for k, v in common.items() if "${" not in v}
    for values in (literals(), environment(DEPLOY / "systemd" / "miniqueue.env"), plain):
        Settings.from_env(values)


def test_commands_parse() -> None:
    parser = build_parser()
    services = compose()["services"]
    parser.parse_args(services["api"]["command"])
    parser.parse_args(services["worker"]["command"])
    parser.parse_args(json.loads(instruction("CMD")[-1]))
    for deployment in objects("Deployment").values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        parser.parse_args(container["args"])
    for path in UNITS:
        (line,) = unit(path)["ExecStart"]
        parser.parse_args(shlex.split(line)[1:])
    for line in commands(PAGE.read_text()):
        if line.startswith("miniqueue "):
            parser.parse_args(shlex.split(line)[1:])


# -- stopping --------------------------------------------------------------------------------------


def test_a_worker_is_given_longer_than_its_grace_and_its_lease() -> None:
    assert STUCK_S == worker.STUCK_S
    services = compose()
    pods = objects("Deployment")["worker"]["spec"]["template"]["spec"]
    service = unit(DEPLOY / "systemd" / "miniqueue-worker@.service")
    given: list[tuple[float, dict[str, str]]] = [
        (seconds(services["services"]["worker"]["stop_grace_period"]), services["x-settings"]),
        (pods["terminationGracePeriodSeconds"], literals()),
        (float(service["TimeoutStopSec"][0]), environment(DEPLOY / "systemd" / "miniqueue.env")),
    ]
    for stop_s, settings in given:
        grace_s, lease_s = (float(settings[f"MINIQUEUE_{n}_S"]) for n in ("GRACE", "LEASE"))
        assert stop_s > grace_s + STUCK_S
        assert stop_s > lease_s


def test_the_api_is_given_longer_than_the_longest_wait() -> None:
    pod = objects("Deployment")["api"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause_s + MAX_WAIT_S
    assert seconds(compose()["services"]["api"]["stop_grace_period"]) > MAX_WAIT_S
    (stop,) = unit(DEPLOY / "systemd" / "miniqueue-api.service")["TimeoutStopSec"]
    assert float(stop) > MAX_WAIT_S


def test_sigterm_reaches_the_process_itself() -> None:
    assert instruction("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(instruction("ENTRYPOINT")[-1]) == ["miniqueue"]  # no shell in between
    for path in UNITS:
        assert unit(path)["KillSignal"] == ["SIGTERM"]
        assert unit(path)["Restart"] == ["always"]


# -- ports, routes, images -------------------------------------------------------------------------


def test_ports_and_probed_paths_exist() -> None:
    port = Settings().port
    assert instruction("EXPOSE") == [str(port)]
    pod = objects("Deployment")["api"]["spec"]["template"]["spec"]["containers"][0]
    assert [p["containerPort"] for p in pod["ports"]] == [port]
    assert objects("Service")["api"]["spec"]["ports"][0]["targetPort"] == pod["ports"][0]["name"]
    assert compose()["services"]["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    routes = set(app.openapi()["paths"])
    for probe in ("readinessProbe", "livenessProbe"):
        assert pod[probe]["httpGet"]["path"] in routes
    assert re.findall(r"'(/\w+)'", instruction("HEALTHCHECK")[0]) == ["/healthz"]
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert port in told["forwardPorts"]
    assert {str(p) for p in told["forwardPorts"]} == set(told["portsAttributes"])


def test_prometheus_asks_the_api_with_the_token_that_may_read() -> None:
    (job,) = documents(DEPLOY / "prometheus" / "prometheus.yml")[0]["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"][0]["targets"] == [f"api:{Settings().port}"]
    told = compose()
    (secret,) = told["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert told["secrets"][secret]["environment"] == "MINIQUEUE_READ_TOKEN"


def test_nothing_is_published_beyond_this_machine() -> None:
    services = compose()["services"]
    assert "ports" not in services["valkey"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert [o["metadata"]["name"] for o in objects("Service").values()
            if o["spec"].get("type", "ClusterIP") != "ClusterIP"] == []  # fmt: skip


def test_images_agree() -> None:
    services = compose()["services"]
    assert {services[name]["image"] for name in ("api", "worker")} == {f"${{IMAGE:-{IMAGE}}}"}
    assert environment(DEPLOY / ".env.example")["IMAGE"] == IMAGE
    (image,) = documents(KUBERNETES / "kustomization.yaml")[0]["images"]
    assert image["newTag"] == __version__
    for deployment in objects("Deployment").values():
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image["name"]
    valkey = objects("StatefulSet")["valkey"]["spec"]["template"]["spec"]["containers"][0]
    assert valkey["image"] == services["valkey"]["image"]
    assert set(re.findall(r"miniqueue:\d[\d.]*\d", PAGE.read_text())) == {IMAGE}
    for text in (services["valkey"]["image"], services["prometheus"]["image"]):
        assert re.search(r":v?\d+\.\d+", text), "a tag that names the minor version"


def test_no_service_gives_the_pods_a_variable_of_ours() -> None:
    """A Service `miniqueue` would set MINIQUEUE_PORT=tcp://... in every pod."""
    for name in objects("Service"):
        assert not variable("port").startswith(name.upper().replace("-", "_"))
    for kind in ("Deployment", "StatefulSet"):
        for owner in objects(kind).values():
            assert owner["spec"]["template"]["spec"]["enableServiceLinks"] is False


# -- Kubernetes ------------------------------------------------------------------------------------


def pods() -> list[tuple[str, dict[str, Any]]]:
    owners = {**objects("Deployment"), **objects("StatefulSet")}
    return [(name, owner["spec"]["template"]["spec"]) for name, owner in owners.items()]


@pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])
def test_pods_may_do_little(name: str, pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    if name != "valkey":
        assert f"{pod['securityContext']['runAsUser']}:10001" == instruction("USER")[-1]


def test_secrets_that_are_asked_for_are_in_the_example_and_on_the_page() -> None:
    asked = {
        one["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in pods()
        for one in pod["containers"][0].get("env", ())
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    (secret,) = objects("Secret").values()
    assert asked == set(secret["stringData"])
    assert asked == set(re.findall(r"--from-literal=([\w-]+)", PAGE.read_text()))


def test_budgets_and_policies_select_pods_that_exist() -> None:
    names = {name for name, _ in pods()}
    budgets = objects("PodDisruptionBudget")
    assert set(budgets) == {"api", "worker"}
    for one in [*budgets.values(), *objects("NetworkPolicy").values()]:
        spec = one["spec"]
        labels = (spec.get("selector") or spec.get("podSelector"))["matchLabels"]
        assert labels["app.kubernetes.io/name"] in names


def test_keda_reads_keys_that_are_ours() -> None:
    spec = objects("ScaledObject")["worker"]["spec"]
    keys = QueueKeys(Settings().namespace, Settings().queue)
    named = {t["name"]: t["metadata"]["listName"] for t in spec["triggers"]}
    ready = {key.rsplit(":", 1)[1]: key for key in keys.ready}
    assert named == {**ready, "running": keys.running}
    formula = spec["advanced"]["scalingModifiers"]["formula"]
    assert set(formula.split(" + ")) == set(named)
    assert spec["minReplicaCount"] >= 1  # workers promote and reclaim
    assert spec["scaleTargetRef"]["name"] in objects("Deployment")
    authentication = objects("TriggerAuthentication")["valkey"]["spec"]["secretTargetRef"][0]
    assert authentication["key"] in objects("Secret")["miniqueue"]["stringData"]


# -- files, targets, extras ------------------------------------------------------------------------


def test_the_build_is_sent_what_the_wheel_is_made_of() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"]}
    assert sent == {*needed, *project["project"]["license-files"], "pyproject.toml"}
    assert all((ROOT / name).exists() for name in sent)


def test_mounted_files_exist() -> None:
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), volume
    (source,) = documents(DEPLOY / "grafana/provisioning/dashboards/miniqueue.yml")[0]["providers"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert f"./grafana:{source['options']['path']}:ro" in mounts


def test_every_variable_that_compose_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked == set(environment(DEPLOY / ".env.example"))


def test_targets_extras_and_files_of_the_start_in_a_browser_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    used = re.findall(r"make (\w+)", json.dumps(told) + PAGE.read_text())
    assert set(used) <= targets
    script = (ROOT / "binder" / "postBuild").read_text()
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", script)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    start = (ROOT / "binder" / "start").read_text()
    (workspace,) = re.findall(r"\S+\.jupyterlab-workspace", start)
    name = json.loads((ROOT / workspace).read_text())["metadata"]["id"]
    assert f"urlpath=lab/workspaces/{name}`" in PAGE.read_text()


def test_files_that_the_page_names_exist() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"\bdeploy/[\w@./*-]+\w", text))
    assert len(named) >= 6
    missing = [
        n for n in named if not list(ROOT.glob(n)) and not n.endswith(("/.env", "/deploy.md"))
    ]
    assert missing == []
