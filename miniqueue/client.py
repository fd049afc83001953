"""Client: the HTTP API from Python, for programs that do not reach Redis (extra `client`).

with HttpClient("http://127.0.0.1:8000", token="...") as api:
    task_id = api.submit("add", 2, 3)
    api.wait(task_id, timeout_s=5)  # 5
    for event in api.watch(task_id):
        print(event.verb)

AsyncHttpClient is the same with `await` and `async for`. A request whose reply was lost is made
again, with pauses; a task is sent with an idempotency key, so that it is one task nevertheless.
Errors are those of the queue: TaskNotFound, QueueFull, UnknownFunction, BackendUnavailable, …
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import aconnect_sse, connect_sse

from miniqueue import asks
from miniqueue.task import Task
from miniqueue.views import Event

__all__ = ["AsyncHttpClient", "HttpClient"]

T = TypeVar("T")


class HttpClient:
    """Speaks to the API at `url`. Safe to share between threads; close it, or use `with`."""

    def __init__(self, url: str, *, token: str = "", transport: httpx.BaseTransport | None = None):
        self._http = httpx.Client(**asks.options(url, token), transport=transport)

    def submit(self, name: str, /, *args: Any, **options: Any) -> str:
        """Send a task and give its id: submit("add", 2, 3, priority="high").

        Options are those of the body of POST /task (kwargs, queue, priority, delay_s, expires_s,
        max_attempts, timeout_s, after, takes), and `idempotency_key`. Raises UnknownFunction,
        PayloadError, ConfigError, TaskExists, QueueFull, BackendUnavailable.
        """
        return self._run(asks.submit(name, args, options))

    def submit_many(self, tasks: Sequence[Mapping[str, Any]]) -> list[str]:
        """Send tasks, bodies of POST /task, to one queue: all or none. Raises as submit().

        It is not tried again, since these tasks have no key: after BackendUnavailable they may have
        been accepted.
        """
        return self._run(asks.submit_many(tasks))

    def get(self, task_id: str) -> Task:
        """The task as it is now. Raises TaskNotFound, BackendUnavailable."""
        return self._run(asks.get(task_id, 0))

    def wait(self, task_id: str, timeout_s: float | None = None) -> Any:
        """The task's result, once there is one.

        Raises TaskFailed, TaskCancelled, TimeoutError, TaskNotFound, BackendUnavailable.
        """
        return self._run(asks.wait(task_id, timeout_s))

    def cancel(self, task_id: str) -> None:
        """Cancel it; a running one is asked to end. Raises TaskNotFound, InvalidTransition."""
        self._run(asks.plain("DELETE", task_id))

    def retry(self, task_id: str) -> None:
        """A failed task again. Raises TaskNotFound, InvalidTransition."""
        self._run(asks.plain("POST", task_id, "/retry"))

    def watch(
        self, task_id: str = "", *, queue: str = "", after: str = ""
    ) -> Generator[Event, None, None]:
        """Events as they happen: of one task, from its first to its end, or of a queue, for ever.

        `after` is the id of an event: those behind it come first. A lost connection is made again
        without a gap or a repetition; where the server has dropped events meanwhile, one with the
        verb "gap" says so. Raises TaskNotFound, BackendUnavailable.
        """
        stream = asks.Place(task_id, queue, after)
        while True:
            try:
                with connect_sse(self._http, "GET", stream.path, **stream.request()) as source:
                    if not stream.goes_on(source.response.status_code):
                        return
                    if source.response.status_code != 200:
                        source.response.read()
                    asks.checked(source.response)
                    yield from filter(None, map(stream.event, source.iter_sse()))
            except httpx.TransportError as lost:
                stream.lost(lost)
            time.sleep(stream.pause_s)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, flow: asks.Flow[T]) -> T:
        told: Any = None
        try:
            step = next(flow)
            while True:
                if isinstance(step, asks.Ask):
                    try:
                        told = self._http.request(**asks.words(step))
                    except httpx.TransportError as error:
                        step = flow.throw(asks.away(error))
                        continue
                else:
                    time.sleep(step)
                step = flow.send(told)
        except StopIteration as end:
            result: T = end.value
            return result


class AsyncHttpClient:
    """HttpClient for coroutines: the same methods, awaited."""

    def __init__(
        self, url: str, *, token: str = "", transport: httpx.AsyncBaseTransport | None = None
    ):
        self._http = httpx.AsyncClient(**asks.options(url, token), transport=transport)

    async def submit(self, name: str, /, *args: Any, **options: Any) -> str:
        """As HttpClient.submit."""
        return await self._run(asks.submit(name, args, options))

    async def submit_many(self, tasks: Sequence[Mapping[str, Any]]) -> list[str]:
        """As HttpClient.submit_many."""
        return await self._run(asks.submit_many(tasks))

    async def get(self, task_id: str) -> Task:
        """As HttpClient.get."""
        return await self._run(asks.get(task_id, 0))

    async def wait(self, task_id: str, timeout_s: float | None = None) -> Any:
        """As HttpClient.wait."""
        return await self._run(asks.wait(task_id, timeout_s))

    async def cancel(self, task_id: str) -> None:
        """As HttpClient.cancel."""
        await self._run(asks.plain("DELETE", task_id))

    async def retry(self, task_id: str) -> None:
        """As HttpClient.retry."""
        await self._run(asks.plain("POST", task_id, "/retry"))

    async def watch(
        self, task_id: str = "", *, queue: str = "", after: str = ""
    ) -> AsyncIterator[Event]:
        """As HttpClient.watch."""
        stream = asks.Place(task_id, queue, after)
        while True:
            try:
                asked = aconnect_sse(self._http, "GET", stream.path, **stream.request())
                async with asked as source:
                    if not stream.goes_on(source.response.status_code):
                        return
                    if source.response.status_code != 200:
                        await source.response.aread()
                    asks.checked(source.response)
                    async for message in source.aiter_sse():
                        if event := stream.event(message):
                            yield event
            except httpx.TransportError as lost:
                stream.lost(lost)
            await asyncio.sleep(stream.pause_s)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _run(self, flow: asks.Flow[T]) -> T:
        told: Any = None
        try:
            step = next(flow)
            while True:
                if isinstance(step, asks.Ask):
                    try:
                        told = await self._http.request(**asks.words(step))
                    except httpx.TransportError as error:
                        step = flow.throw(asks.away(error))
                        continue
                else:
                    await asyncio.sleep(step)
                step = flow.send(told)
        except StopIteration as end:
            result: T = end.value
            return result
