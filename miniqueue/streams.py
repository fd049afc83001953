"""Routes that stream: server-sent events, resumed by Last-Event-ID.

A reader that takes nothing for SEND_S is dropped; it comes back with the id of its last event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from miniqueue.errors import ConfigError, TaskNotFound
from miniqueue.feed import ENDING, Feed, place
from miniqueue.guard import TICKET_S, ticket
from miniqueue.inspector import EVENT_ID, Inspector
from miniqueue.live import Live
from miniqueue.protocol.keys import QueueKeys
from miniqueue.protocol.operations import Protocol
from miniqueue.redis_client import AsyncClient
from miniqueue.schemas import QueueQuery, TaskId
from miniqueue.settings import Settings, check_name
from miniqueue.task import Task, encode_json, queue_of
from miniqueue.views import Event

__all__ = ["Streams"]

Messages = AsyncGenerator[ServerSentEvent]

PING_S = 15.0
SEND_S = 10.0
RETRY_MS = 1000  # what a browser waits before it comes back
MOST_QUEUES = 100  # that are followed at once
LAST_EVENT_ID: dict[str, Any] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Go on after this event. Sent by browsers themselves when they come back.",
    "schema": {"type": "string", "pattern": f"^{EVENT_ID.pattern}$"},
}
After = Annotated[
    str,
    Query(pattern=f"^({EVENT_ID.pattern})?$", description="As Last-Event-ID, for the first call."),
]


class Streams:
    """The routes, as methods; they share a feed for each queue."""

    def __init__(self, client: AsyncClient, inspector: Inspector, settings: Settings) -> None:
        self._client = client
        self._inspector = inspector
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._lives: dict[str, Live] = {}
        self._open = 0

    def feed(self, queue: str) -> Feed:
        """The feed of a queue, made when it is first asked for."""
        if queue not in self._feeds:
            self._make_room()
            keys = QueueKeys(self._settings.namespace, queue)
            self._feeds[queue] = Feed(self._client, keys)
        return self._feeds[queue]

    async def get_events(
        self, request: Request, queue: QueueQuery = None, after: After = ""
    ) -> Response:
        """The events of a queue as they happen (SSE); with an id, first those after it."""
        self._check_room()
        feed, last = self.feed(self._known(queue)), _after(request, after)
        pages = feed.follow(last)
        await anext(pages)  # here 503 can still be said
        gap = bool(last) and await feed.lost(last)
        return self._response(_all(pages, last if gap else ""))

    async def get_task_events(
        self, request: Request, task_id: TaskId, after: After = ""
    ) -> Response:
        """The events of one task, from its first on (SSE); the stream ends when the task has.

        204, which tells a browser not to come back, where it has ended and nothing is new.
        """
        self._check_room()
        last = _after(request, after)
        task = await self._task(task_id)
        if task.finished_ms is not None:
            rest = await self._rest(task_id, last)
            return self._response(_each(rest)) if rest else Response(status_code=204)
        pages = self.feed(task.queue).follow(last or f"{task.enqueued_ms - 1}-0")
        await anext(pages)
        return self._response(self._of_task(pages, task_id, last))

    async def get_live(
        self, request: Request, queue: QueueQuery = None, after: After = ""
    ) -> Response:
        """What the dashboard shows (SSE): a digest of each second, and how things stand."""
        self._check_room()
        name = self._known(queue)
        if name not in self._lives:
            live = Live(self._client, self.feed(name), self._inspector, name)
            self._lives[name] = live
        return self._response(self._lives[name].stream(_after(request, after)))

    async def post_ticket(self) -> Response:
        """A ticket that opens a stream: `?ticket=`, where a browser can't send the token."""
        if not self._settings.api_token:
            raise HTTPException(409, "no token is set here: streams need no ticket")
        return JSONResponse({"ticket": ticket(self._settings), "valid_s": TICKET_S})

    async def close(self) -> None:
        """End what reads for the streams."""
        for live in self._lives.values():
            await live.close()
        for feed in self._feeds.values():
            await feed.close()

    # -- inside ----------------------------------------------------------------------------------

    async def _of_task(
        self, pages: AsyncGenerator[list[Event]], task_id: str, last: str
    ) -> Messages:
        async with aclosing(pages):
            async for page in pages:
                found = [own for event in page if (own := event.of_task(task_id)) is not None]
                for event in found:
                    last = event.id
                    yield _message(event)
                if any(event.verb in ENDING for event in found) and await self._ended(task_id):
                    break
        for event in await self._rest(task_id, last):  # it ended while we were reading its past
            yield _message(event)

    async def _ended(self, task_id: str) -> bool:
        try:
            return (await self._task(task_id)).finished_ms is not None
        except TaskNotFound:  # purged
            return True

    async def _rest(self, task_id: str, last: str) -> list[Event]:
        events = await asyncio.to_thread(self._inspector.timeline, task_id)
        return [event for event in events if place(event.id) > place(last)]

    async def _task(self, task_id: str) -> Task:
        protocol = Protocol(self._settings, queue_of(task_id))
        return await self._client.run(protocol.get(task_id))

    def _known(self, queue: str | None) -> str:
        name = check_name("queue", queue or self._settings.queue)
        if name not in self._feeds:
            self._make_room()
        if len(self._feeds) >= MOST_QUEUES and name not in self._feeds:
            raise _too_many("queues are followed", MOST_QUEUES)
        return name

    def _make_room(self) -> None:
        """Give back the places of queues that nobody follows any more."""
        if len(self._feeds) < MOST_QUEUES:
            return
        for name, feed in list(self._feeds.items()):
            live = self._lives.get(name)
            if feed.idle and (live is None or live.idle):
                del self._feeds[name]
                self._lives.pop(name, None)

    def _check_room(self) -> None:
        """Refuse before anything is read or followed for one stream too many."""
        most = self._settings.max_streams
        if self._open >= most:
            raise _too_many("streams are open (MINIQUEUE_MAX_STREAMS)", most)

    def _response(self, messages: Messages) -> Response:
        return EventSourceResponse(self._counted(messages), ping=PING_S, send_timeout=SEND_S)

    async def _counted(self, messages: Messages) -> Messages:
        self._open += 1
        try:
            yield ServerSentEvent(retry=RETRY_MS)
            async with aclosing(messages):
                async for message in messages:
                    yield message
        finally:
            self._open -= 1


def _too_many(what: str, most: int) -> HTTPException:
    return HTTPException(429, f"{most} {what}: come back later", {"Retry-After": "5"})


def _after(request: Request, after: str) -> str:
    last = request.headers.get(LAST_EVENT_ID["name"]) or after
    if last and not EVENT_ID.fullmatch(last):
        raise ConfigError(f"Last-Event-ID {last!r} is not the id of an event, like 1700000000000-0")
    return last


async def _all(pages: AsyncGenerator[list[Event]], gap: str) -> Messages:
    if gap:
        yield ServerSentEvent(encode_json({"after": gap}), event="gap")
    async with aclosing(pages):
        async for page in pages:
            for event in page:
                yield _message(event)


async def _each(events: Iterable[Event]) -> Messages:
    for event in events:
        yield _message(event)


def _message(event: Event) -> ServerSentEvent:
    return ServerSentEvent(encode_json(asdict(event)), event=event.verb, id=event.id)
