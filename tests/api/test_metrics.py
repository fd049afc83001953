"""GET /metrics: it parses in both formats, keeps to the conventions, and tells what happened."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from miniqueue import outages
from miniqueue.api import create_app
from miniqueue.classroom.service import free_port
from miniqueue.errors import BackendUnavailable
from miniqueue.functions import echo, fail, flaky
from miniqueue.inspector import Inspector
from miniqueue.metrics import BOUNDS
from miniqueue.prometheus import VERBS, exposition
from miniqueue.protocol.calls import Call, T, script, scripts
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker
from tests.processes import wait_for
from tests.worker.running import Refuser
from tests.worker.test_hostile import KINDS, TEXTS

ACCEPT = {"text": "text/plain", "openmetrics": "application/openmetrics-text; version=1.0.0"}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(http: TestClient, kind: str = "text") -> list[Metric]:
    reply = http.get("/metrics", headers={"Accept": ACCEPT[kind]})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith(ACCEPT[kind].split(";")[0])
    parse = parse_text if kind == "text" else openmetrics.text_string_to_metric_families
    return list(parse(reply.text))


def series(http: TestClient) -> Series:
    """Every sample by its name and labels; no two are the same."""
    samples = [s for family in families(http) for s in family.samples]
    found = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(found) == len(samples)
    return found


def value(found: Series, name: str, **labels: str) -> float:
    at = (f"miniqueue_{name}", frozenset({"queue": "default", **labels}.items()))
    assert at in found, f"{at} is not among {sorted(n for n, _ in found)}"
    return found[at]


@pytest.fixture
def busy(http: TestClient, worker: Worker, settings: Settings, client: Client) -> TestClient:
    """Tasks of two queues in all states, and a worker that told of them."""
    queue = Queue(settings=settings, client=client)
    queue.enqueue(echo, 1)
    queue.enqueue(fail.options(max_attempts=1))
    queue.enqueue(flaky.options(max_attempts=9), 1.0)
    worker.start()
    while worker.run_once():
        pass
    worker.beat()
    queue.enqueue(echo.options(priority="high"), 2)
    queue.enqueue(echo.options(delay_s=60), 3)
    Queue("mail", settings=settings, client=client).enqueue(echo, 4)
    http.post("/task", json={"name": "echo", "args": [1], "queue": "mail"})
    return http


@pytest.mark.parametrize("kind", ACCEPT)
def test_it_parses_and_keeps_to_the_conventions(busy: TestClient, kind: str) -> None:
    found = families(busy, kind)
    assert len({family.name for family in found}) == len(found)
    for family in found:
        assert re.fullmatch(r"miniqueue(_[a-z]+)+", family.name)
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram")
        assert not re.search(r"_(ms|us|milliseconds|minutes|kb|percent|count|sum)$", family.name)
        assert not family.name.endswith("_total") or kind == "text"
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith("_total")
            assert sample.value >= 0
    assert sum(family.type == "histogram" for family in found) == 2
    told = [(s.name, frozenset(s.labels.items())) for f in found for s in f.samples]
    assert len(set(told)) == len(told)


def test_both_formats_say_the_same(busy: TestClient) -> None:
    def told(kind: str) -> set[str]:
        return {s.name for family in families(busy, kind) for s in family.samples}

    assert told("text") == told("openmetrics")


def test_every_family_has_its_help_and_its_type(busy: TestClient) -> None:
    lines = busy.get("/metrics").text.splitlines()
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert helps == types
    assert len(set(helps)) == len(helps)
    samples = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
    bare = {re.sub(r"_(bucket|sum|count)$", "", n) if "_seconds_" in n else n for n in samples}
    assert bare == set(helps)


def test_it_tells_what_happened(busy: TestClient) -> None:
    found = series(busy)
    assert value(found, "queue_depth", priority="high") == 1
    assert value(found, "queue_depth", queue="mail", priority="normal") == 2
    assert value(found, "tasks", state="queued") == 1
    assert value(found, "tasks", state="scheduled") == 2
    assert value(found, "tasks", state="failed") == 1
    assert value(found, "tasks", state="finished") == 1
    assert value(found, "operations_total", verb="enqueue") == 5
    assert value(found, "tasks_ended_total", function="echo", state="succeeded") == 1
    assert value(found, "tasks_ended_total", function="fail", state="failed") == 1
    assert value(found, "retries_total", function="flaky") == 1
    assert value(found, "reclaims_total") == 0
    assert value(found, "workers") == 1
    assert value(found, "worker_lanes") == 1
    assert value(found, "worker_lanes_busy") == 0
    assert value(found, "workers", queue="mail") == 0
    for what in ("run", "wait"):
        assert value(found, f"task_{what}_seconds_count", function="echo") == 1
        assert 0 <= value(found, f"task_{what}_seconds_sum", function="echo") < 5


def test_the_oldest_waiting_task_has_an_age(http: TestClient, queue: Queue) -> None:
    handle = queue.enqueue(echo, 1)
    key, sent = queue.protocol.keys.task(handle.id), handle.get().enqueued_ms
    queue.client.raw.hset(key, "enqueued_ms", sent - 90_000)
    assert 90 <= value(series(http), "oldest_waiting_age_seconds") < 100


def test_a_long_wait_and_a_long_run_are_in_their_buckets(
    http: TestClient, queue: Queue, registry: Registry
) -> None:
    @task(registry=registry)
    def nap() -> None: ...

    worker = Worker(queue, registry)
    handle = queue.enqueue(nap)
    key, sent = queue.protocol.keys.task(handle.id), handle.get().enqueued_ms
    queue.client.raw.hset(key, "enqueued_ms", sent - 45_000)
    worker.run_once()
    worker.beat()
    found = series(http)
    assert 45 <= value(found, "task_wait_seconds_sum", function="nap") < 55
    below = value(found, "task_wait_seconds_bucket", function="nap", le="30.0")
    assert (below, value(found, "task_wait_seconds_bucket", function="nap", le="60.0")) == (0, 1)
    assert value(found, "task_run_seconds_bucket", function="nap", le="30.0") == 1


def test_buckets_are_cumulative(busy: TestClient) -> None:
    found = series(busy)
    bounds = [*(str(bound / 1000) for bound in BOUNDS), "+Inf"]
    for what in ("run", "wait"):
        name = f"task_{what}_seconds"
        steps = [value(found, f"{name}_bucket", function="echo", le=le) for le in bounds]
        assert steps == sorted(steps)
        assert steps[-1] == value(found, f"{name}_count", function="echo")


def test_the_verbs_are_those_of_the_protocol() -> None:
    counted = set()
    for name in scripts():
        counted |= set(re.findall(r"'HINCRBY', KEYS\[\d+\], '(\w+)'", script(name)))
    of_a_task = {"waiting", "once"}  # numbers in its hash
    assert counted - of_a_task == {*VERBS, "reclaim"}


def test_every_api_process_says_the_same(busy: TestClient, settings: Settings) -> None:
    def counters(http: TestClient) -> Series:
        return {at: n for at, n in series(http).items() if at[0].endswith("_total")}

    with TestClient(create_app(settings)) as other:
        assert counters(other) == counters(busy)


# -- workers ---------------------------------------------------------------------------------------


def test_a_worker_that_starts_anew_counts_on(
    http: TestClient, settings: Settings, client: Client
) -> None:
    queue = Queue(settings=settings, client=client)
    for run in (1, 2):
        worker = Worker(queue, name="same name")
        queue.enqueue(echo, run)
        worker.run_once()
        worker.beat()
        found = series(http)
        assert value(found, "tasks_ended_total", function="echo", state="succeeded") == run


def test_a_lost_lease_counts_once(http: TestClient, queue: Queue, registry: Registry) -> None:
    keys = queue.protocol.keys

    @task(registry=registry)
    def stolen() -> None:
        queue.client.raw.hset(keys.task(handle.id), "attempt", 9)
        worker.beat()

    worker = Worker(queue, registry)
    worker.start()
    handle = queue.enqueue(stolen)
    worker.run_once()
    worker.beat()
    assert value(series(http), "lease_losses_total") == 1


# -- Redis away, tokens ----------------------------------------------------------------------------


def test_without_redis_it_says_so() -> None:
    away = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with TestClient(create_app(away)) as http:
        reply = http.get("/metrics")
    assert reply.status_code == 503
    assert reply.headers["content-type"] == "application/problem+json"
    assert "Redis is not available" in reply.json()["detail"]


def test_a_redis_that_goes_away_meanwhile_is_no_broken_queue(
    settings: Settings, client: Client
) -> None:
    class Leaving(Refuser):
        def run(self, call: Call[T]) -> T:
            reply = super().run(call)
            self.away.set()  # after the names of the queues are read
            return reply

    queue = Queue(settings=settings, client=Leaving(client))
    with pytest.raises(BackendUnavailable):
        exposition(Inspector(queue), None)


def test_what_the_api_could_not_ask_of_redis_is_told_when_it_is_back(
    http: TestClient, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "AGAIN_S", 0.01)
    raw, front = queue.client.raw, cast("FastAPI", http.app)
    raw.set("mq:workers", "a foreign hand")
    assert http.get("/workers").status_code == 503
    assert http.get("/workers").status_code == 503
    raw.delete("mq:workers")
    wait_for(lambda: front.state.outages.untold == 0)
    assert value(series(http), "redis_errors_total", role="api") == 2


@pytest.mark.parametrize(
    ("token", "status"), [("full-1", 200), ("read-2", 200), ("send-3", 403), ("", 401)]
)
def test_it_needs_a_token_that_may_read(
    settings: Settings, client: Client, token: str, status: int
) -> None:
    tokens: dict[str, Any] = {"api_token": "full-1", "read_token": "read-2"}
    guarded = replace(settings, **tokens, submit_token="send-3")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with TestClient(create_app(guarded)) as http:
        assert http.get("/metrics", headers=headers).status_code == status


# -- foreign hands ---------------------------------------------------------------------------------

HOSTILE = ['a"b', "a\\b", "a\nb", "a{b}", "\x00", "ü€🚀", "le", "", " ", 'x",y="1', "# HELP x"]


@pytest.mark.parametrize("kind", ACCEPT)
def test_hostile_names_are_escaped(http: TestClient, queue: Queue, kind: str) -> None:
    queue.enqueue(echo, 1)
    queue.client.run(queue.protocol.count([("run:5", name, 1) for name in HOSTILE]))
    names = {
        s.labels["function"]
        for family in families(http, kind)
        for s in family.samples
        if s.name == "miniqueue_task_run_seconds_count"
    }
    assert names == set(HOSTILE)


@pytest.mark.parametrize("name", ["counts", "stats", "ready:normal", "scheduled"])
@pytest.mark.parametrize("kind", KINDS)
def test_broken_keys_of_a_queue_break_no_other(
    busy: TestClient, queue: Queue, name: str, kind: str
) -> None:
    key = queue.protocol.keys.prefix + name
    queue.client.raw.delete(key)
    KINDS[kind](queue.client.raw, key)
    found = series(busy)
    assert value(found, "queue_depth", queue="mail", priority="normal") == 2
    if not value(found, "queue_readable"):
        assert not [at for at in found if ("queue", "default") in at[1] and "depth" in at[0]]


def test_a_queue_of_a_broken_key_is_told_to_be_broken(busy: TestClient, queue: Queue) -> None:
    queue.client.raw.delete(queue.protocol.keys.counts)
    queue.client.raw.set(queue.protocol.keys.counts, "x")
    found = series(busy)
    assert value(found, "queue_readable") == 0
    assert value(found, "queue_readable", queue="mail") == 1


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_stands_among_the_counts_is_no_error(
    http: TestClient, queue: Queue, text: str
) -> None:
    queue.enqueue(echo, 1)
    fields = {text: "7", f"{text} echo": text, f"run:5 {text}": text, "run:5 ok": "1"}
    for key in (queue.protocol.keys.counts, queue.protocol.keys.stats, "mq:worker:w9"):
        queue.client.raw.hset(key, mapping=fields | {"queue": text, "reclaim": text})
    queue.client.raw.zadd("mq:workers", {"w9": 1e13})
    found = series(http)
    assert value(found, "task_run_seconds_count", function="ok") == 1
    assert families(http, "openmetrics")
