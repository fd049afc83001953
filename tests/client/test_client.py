"""The HTTP client against real servers: what it sends is one task, what it watches has no gap."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from miniqueue import asks
from miniqueue.api import create_app
from miniqueue.classroom import Stack
from miniqueue.client import AsyncHttpClient, HttpClient
from miniqueue.errors import (
    BackendUnavailable,
    ConfigError,
    InvalidTransition,
    MiniQueueError,
    PayloadError,
    QueueFull,
    TaskCancelled,
    TaskExists,
    TaskFailed,
    TaskNotFound,
    UnknownFunction,
)
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import default_registry
from miniqueue.settings import Settings
from miniqueue.task import TaskState
from miniqueue.worker import Worker
from tests.api.live import serving


@pytest.fixture
def url(settings: Settings, client: Client) -> Iterator[str]:
    with serving(create_app(settings)) as url:
        yield url


@pytest.fixture
def api(url: str) -> Iterator[HttpClient]:
    with HttpClient(url) as api:
        yield api


@pytest.fixture
def working(settings: Settings, client: Client) -> Iterator[None]:
    """A worker that runs the built-in functions meanwhile."""
    worker = Worker(Queue(settings=settings), default_registry, name="w")
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield
    worker.stop()
    thread.join()


@pytest.mark.usefixtures("working")
def test_submit_wait_watch(api: HttpClient) -> None:
    task_id = api.submit("add", 2, 3, priority="high")
    assert api.wait(task_id, timeout_s=5) == 5
    task = api.get(task_id)
    assert (task.state, task.args, task.priority) == (TaskState.SUCCEEDED, [2, 3], "high")
    assert task.cancel_requested is False
    events = list(api.watch(task_id))  # it ends with the task
    assert [event.verb for event in events] == ["enqueue", "claim", "complete"]
    assert events[-1].tasks[0].task_id == task_id
    assert [e.verb for e in api.watch(task_id, after=events[0].id)] == ["claim", "complete"]
    ids = api.submit_many([{"name": "add", "args": [n, 1]} for n in range(3)])
    assert [api.wait(i, 5) for i in ids] == [1, 2, 3]


@pytest.mark.usefixtures("working")
def test_the_same_with_await(url: str) -> None:
    async def main() -> None:
        async with AsyncHttpClient(url) as api:
            ids = await asyncio.gather(*(api.submit("add", n, 1) for n in range(20)))
            assert await asyncio.gather(*(api.wait(i, 5) for i in ids)) == list(range(1, 21))
            events = [event.verb async for event in api.watch(ids[0])]
            assert events == ["enqueue", "claim", "complete"]
            (failed,) = await api.submit_many([{"name": "fail", "max_attempts": 1}])
            with pytest.raises(TaskFailed):
                await api.wait(failed, 5)
            await api.retry(failed)
            with pytest.raises(InvalidTransition):
                await api.cancel(ids[0])
            with pytest.raises(TaskNotFound):
                await api.get("00ff")
            with pytest.raises(TaskNotFound):
                async for _ in api.watch("00ff"):
                    pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (lambda api: api.submit("ad", 2), UnknownFunction, "did you mean add"),
        (lambda api: api.submit("add", 2), PayloadError, "wrong arguments"),
        (lambda api: api.submit("add", 2, 3, priority="urgent"), ConfigError, "priority"),
        (lambda api: api.get("00ff"), TaskNotFound, "no task has the id '00ff'"),
        (lambda api: api.wait("00ff", 1), TaskNotFound, "00ff"),
        (lambda api: list(api.watch("00ff")), TaskNotFound, "00ff"),
        (lambda api: api.cancel("a b"), ConfigError, "task_id"),
        (lambda api: api.cancel("../../x"), MiniQueueError, "no such route"),
        (lambda api: list(api.watch(after="yesterday")), ConfigError, "Last-Event-ID 'yesterday'"),
    ],
)
def test_errors_are_those_of_the_queue(
    api: HttpClient, act: Callable[[HttpClient], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        act(api)


def test_errors_carry_their_data(api: HttpClient) -> None:
    with pytest.raises(UnknownFunction) as told:
        api.submit("ad", 2)
    assert list(told.value.nearest) == ["add"]
    first = api.submit("add", 1, 2, idempotency_key="k")
    assert api.submit("add", 1, 2, idempotency_key="k") == first
    with pytest.raises(TaskExists) as taken:
        api.submit("add", 9, 9, idempotency_key="k")
    assert (taken.value.key, taken.value.task_id) == ("k", first)


def test_a_task_that_was_cancelled_or_takes_long(api: HttpClient) -> None:
    task_id = api.submit("add", 2, 3)
    with pytest.raises(TimeoutError, match="is queued after"):
        api.wait(task_id, timeout_s=0.05)
    api.cancel(task_id)
    with pytest.raises(TaskCancelled):
        api.wait(task_id, timeout_s=5)


def test_a_full_queue_and_a_token(settings: Settings, client: Client) -> None:
    with serving(create_app(replace(settings, max_queued=1, api_token="secret-1"))) as url:
        with HttpClient(url, token="secret-1") as api:
            api.submit("add", 1, 2)
            with pytest.raises(QueueFull) as told:
                api.submit("add", 1, 2)
            assert (told.value.limit, told.value.retry_after_s) == (1, 1)
        said = re.compile("token", re.I)
        for token in ("", "wrong"):
            with HttpClient(url, token=token) as api, pytest.raises(ConfigError, match=said):
                api.submit("add", 1, 2)


class Deaf(httpx.BaseTransport):
    """Loses each reply of the first `times` requests, after the server has done what they say."""

    def __init__(self, times: int) -> None:
        self._real = httpx.HTTPTransport()
        self.times = times

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self._real.handle_request(request)
        if self.times > 0:
            self.times -= 1
            reply.read()
            raise httpx.ReadError("the connection is lost", request=request)
        return reply

    def close(self) -> None:
        self._real.close()


def test_a_task_whose_reply_was_lost_is_sent_once(
    url: str, settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks, "PAUSES_S", (0.01, 0.01))
    with HttpClient(url, transport=Deaf(times=2)) as api:
        task_id = api.submit("add", 2, 3)
    keys = Queue(settings=settings).protocol.keys
    assert client.raw.lrange(keys.ready[1], 0, -1) == [task_id]
    with HttpClient(url, transport=Deaf(times=3)) as api, pytest.raises(BackendUnavailable):
        api.submit("add", 2, 3)
    with HttpClient(url, transport=Deaf(times=1)) as api, pytest.raises(BackendUnavailable):
        api.submit_many([{"name": "add", "args": [1, 2]}])  # it has no key: nothing is sent twice
    assert client.raw.llen(keys.ready[1]) == 3


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "PAUSES_S", (0.01,))
    with HttpClient("http://127.0.0.1:9") as api:
        with pytest.raises(BackendUnavailable, match="the API does not answer"):
            api.submit("add", 1, 2)
        with pytest.raises(BackendUnavailable, match="the API does not answer"):
            list(api.watch())
    with pytest.raises(ConfigError, match="is not the address of an API"):
        HttpClient("127.0.0.1:8000")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_watch_outlives_the_api() -> None:
    with Stack(workers=1) as stack, HttpClient(stack.url) as api:
        task_id = api.submit("sleep", 1.0)
        events = api.watch(task_id)
        assert next(events).verb == "enqueue"
        stack.kill_api()
        stack.start_api()
        assert [event.verb for event in events] == ["claim", "complete"]
        queue = api.watch(after="0-1")
        assert [next(queue).verb for _ in range(4)] == ["gap", "enqueue", "claim", "complete"]
        queue.close()
