"""The board of Grafana and the rules of Prometheus ask for metrics and labels that /metrics has."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from miniqueue.api import create_app
from miniqueue.functions import echo
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.deploy.files import DEPLOY, compose, documents

BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "miniqueue.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
RULES = documents(DEPLOY / "prometheus" / "rules.yml")[0]["groups"][0]["rules"]
QUERIES = {v["name"]: v["query"]["query"] for v in BOARD["templating"]["list"]}
ASKED = [
    *((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]),
    *((rule["alert"], rule["expr"]) for rule in RULES),
    *QUERIES.items(),
]
ADDED = {"job", "instance"}  # labels that Prometheus adds


@pytest.fixture
def labels(settings: Settings, client: Client) -> dict[str, set[str]]:
    """The labels of every sample of /metrics, after a task was run."""
    queue = Queue(settings=settings, client=client)
    queue.enqueue(echo, 1)
    worker = Worker(queue)
    worker.run_once()
    worker.beat()
    found: dict[str, set[str]] = defaultdict(set)
    with TestClient(create_app(settings)) as http:
        for family in text_string_to_metric_families(http.get("/metrics").text):
            for sample in family.samples:
                found[sample.name] |= set(sample.labels)
    return found


@pytest.mark.parametrize(
    ("where", "expr"), ASKED, ids=[f"{w}-{i}" for i, (w, _) in enumerate(ASKED)]
)
def test_what_is_asked_for_is_there(where: str, expr: str, labels: dict[str, set[str]]) -> None:
    names = re.findall(r"\bminiqueue_\w+", re.sub(r'"[^"]*"', "", expr))
    assert names or expr.startswith("up{"), where
    assert [name for name in names if name not in labels] == []
    known = set[str]().union(*(labels[name] for name in names), ADDED)
    selected = re.findall(r"(\w+)\s*=~?\s*\"", expr)
    grouped = [
        word for words in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr) for word in words.split(", ")
    ]
    assert set(selected) | set(grouped) <= known


@pytest.mark.parametrize(
    ("where", "expr"), ASKED, ids=[f"{w}-{i}" for i, (w, _) in enumerate(ASKED)]
)
def test_counters_are_told_as_rates_and_gauges_are_not(where: str, expr: str) -> None:
    for name, after in re.findall(r"(miniqueue_\w+)(?:{[^}]*})?(\[)?", expr):
        counts = name.endswith(("_total", "_bucket", "_sum")) and where not in QUERIES
        assert bool(after) == counts, name


def test_the_variables_of_the_board_are_defined() -> None:
    text = " ".join(expr for _, expr in ASKED)
    used = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"}
    assert used == set(QUERIES)


def test_every_metric_of_interest_is_on_the_board(labels: dict[str, set[str]]) -> None:
    shown = " ".join(expr for _, expr in ASKED)
    base = {re.sub(r"_(bucket|sum|count)$", "", n) if "_seconds_" in n else n for n in labels}
    assert {name for name in base if name not in shown} == {"miniqueue_build_info"}


def test_panels_stand_side_by_side_and_use_the_provisioned_source() -> None:
    (source,) = documents(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")[0][
        "datasources"
    ]
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["datasource"]["uid"] == source["uid"]
        at = panel["gridPos"]
        own = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert own.isdisjoint(cells), panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_prometheus_finds_its_rules() -> None:
    (config,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    mounts = compose()["services"]["prometheus"]["volumes"]
    for path in config["rule_files"]:
        assert f"./prometheus/{path.rsplit('/')[-1]}:{path}:ro" in mounts


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_rules_are_whole(rule: dict[str, Any]) -> None:
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert rule["labels"]["severity"] in ("page", "ticket")
    summary = rule["annotations"]["summary"]
    grouped = "sum by" not in rule["expr"] or all(
        label in rule["expr"] for label in re.findall(r"\$labels\.(\w+)", summary)
    )
    assert grouped
