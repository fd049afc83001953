"""Who may do what: tokens, tickets, and pages of other sites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from miniqueue.api import create_app
from miniqueue.errors import ConfigError
from miniqueue.guard import check_tokens, ticket
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.api.live import listening, serving

TOKENS: dict[str, Any] = {"api_token": "full-1", "read_token": "read-2", "submit_token": "send-3"}


@pytest.fixture
def guarded(settings: Settings, client: Client) -> Iterator[TestClient]:
    with TestClient(create_app(replace(settings, **TOKENS))) as http:
        yield http


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("token", "read", "send", "change"),
    [("full-1", 200, 202, 200), ("read-2", 200, 403, 403), ("send-3", 403, 202, 403),
     ("wrong", 403, 403, 403), ("", 401, 401, 401)],
)  # fmt: skip
def test_each_token_opens_what_it_is_for(
    guarded: TestClient, token: str, read: int, send: int, change: int
) -> None:
    headers = bearing(token) if token else {}
    assert guarded.get("/tasks", headers=headers).status_code == read
    assert guarded.get("/queues", headers=headers).status_code == read
    assert guarded.post("/task", headers=headers).status_code == send
    body = {"tasks": [{"name": "sample"}]}
    assert guarded.post("/tasks", json=body, headers=headers).status_code == send
    assert guarded.post("/queues/default/pause", headers=headers).status_code == change
    assert guarded.delete("/queues/default/failed", headers=headers).status_code == change


def test_a_submit_token_reads_no_task_not_even_its_own(guarded: TestClient) -> None:
    sent = guarded.post("/task", headers=bearing("send-3")).json()["task_id"]
    for path in (f"/task/{sent}", f"/task/{sent}/logs", f"/task/{sent}/events", "/events", "/live"):
        assert guarded.get(path, headers=bearing("send-3")).status_code == 403


def test_no_route_is_open_but_probes_and_the_pages(guarded: TestClient) -> None:
    told = [
        (method, re.sub(r"{\w+}", "x", path))
        for path, methods in create_app().openapi()["paths"].items()
        for method in methods
    ]
    assert len(told) > 20
    refused = {path for method, path in told if guarded.request(method, path).status_code == 401}
    assert {path for _, path in told} - refused == {"/healthz", "/readyz"}
    assert guarded.get("/").status_code == 200
    assert guarded.get("/dashboard/app.js").status_code == 200
    for path in ("/docs", "/docs/swagger-ui.css", "/openapi.json"):  # whoever reads may have none
        assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("header", ["full-1", "Basic full-1", "Bearer", "bearer  full-1"])
def test_a_token_in_another_form_is_none(guarded: TestClient, header: str) -> None:
    reply = guarded.get("/tasks", headers={"Authorization": header})
    assert reply.status_code in (401, 403)
    assert "full-1" not in reply.text


def test_a_ticket_opens_a_stream_and_nothing_else(settings: Settings, client: Client) -> None:
    with serving(create_app(replace(settings, **TOKENS))) as url:
        with TestClient(create_app(replace(settings, **TOKENS))) as another_process:
            told = another_process.post("/tickets", headers=bearing("read-2")).json()
        assert told["valid_s"] == 30
        with listening(f"{url}/events?ticket={told['ticket']}"):
            pass
        with listening(f"{url}/live?ticket={told['ticket']}"):
            pass
    with TestClient(create_app(replace(settings, **TOKENS))) as http:
        assert http.get(f"/tasks?ticket={told['ticket']}").status_code == 401
        assert http.post(f"/task?ticket={told['ticket']}").status_code == 401
        assert http.post("/tickets", headers=bearing("send-3")).status_code == 403


def test_a_ticket_that_is_old_or_forged_opens_nothing(
    guarded: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ticket(replace(settings, **TOKENS))
    until, _, signature = told.partition(".")
    later = f"{int(until) + 20}.{signature}"
    foreign = ticket(replace(settings, api_token="another"))
    eternal = f"9999999999.{signature}"
    for forged in (later, foreign, eternal, until, "", ".", f"{until}.", "²." + signature):
        assert guarded.get(f"/events?ticket={forged}").status_code == 401, forged
    monkeypatch.setattr("miniqueue.guard.time.time", lambda: int(until) + 1.0)
    assert guarded.get(f"/events?ticket={told}").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://example.com"}, {"Origin": "null"}],
)
def test_a_page_of_another_site_changes_nothing(
    settings: Settings, client: Client, headers: dict[str, str]
) -> None:
    with TestClient(create_app(settings)) as http:
        for method, path in [("POST", "/task"), ("POST", "/queues/default/pause"),
                             ("DELETE", "/queues/default/failed")]:  # fmt: skip
            assert http.request(method, path, headers=headers).status_code == 403
        assert http.get("/tasks", headers=headers).status_code == 200
        assert http.get("/tasks").json()["tasks"] == []
        assert "access-control-allow-origin" not in http.get("/tasks", headers=headers).headers


def test_the_own_page_may(settings: Settings, client: Client) -> None:
    with TestClient(create_app(settings)) as http:
        for headers in (
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
            {"Origin": "http://testserver"},
            {"Sec-Fetch-Site": "none"},
        ):
            assert http.post("/task", headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"read_token": "r"}, "MINIQUEUE_READ_TOKEN is set and MINIQUEUE_API_TOKEN is not"),
        ({"submit_token": "s"}, "MINIQUEUE_SUBMIT_TOKEN is set and MINIQUEUE_API_TOKEN is not"),
        ({"api_token": "x", "read_token": "x"}, "two of the tokens are the same"),
    ],
)
def test_tokens_that_would_not_do_what_they_say_are_refused(
    tokens: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_tokens(replace(Settings(), **tokens))


def test_who_asks_too_often_waits_and_others_do_not(settings: Settings, client: Client) -> None:
    with TestClient(create_app(replace(settings, max_requests_s=0.5, **TOKENS))) as http:
        first = [http.get("/tasks", headers=bearing("full-1")) for _ in range(2)]
        assert [reply.status_code for reply in first] == [200, 429]
        assert first[1].headers["retry-after"] == "2"
        assert "MINIQUEUE_MAX_REQUESTS_S" in first[1].json()["detail"]
        assert http.get("/tasks", headers=bearing("read-2")).status_code == 200
        wrong = [http.get("/tasks", headers=bearing(f"wrong-{n}")).status_code for n in range(2)]
        assert wrong == [403, 429]  # guesses are counted together, by their address
