"""The front door: FastAPI routes over the operations. `uvicorn miniqueue.api:app` works.

Sending and reading one task is asynchronous, and requests of one turn of the loop share a round
trip to Redis; listings use the synchronous Inspector, in FastAPI's thread pool. Each route makes
its own JSONResponse: what FastAPI would make of a plain dict drops keys that begin with `_sa` (a
favour to SQLAlchemy, fastapi.encoders.jsonable_encoder), and a result is not ours to change.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

import miniqueue.functions  # noqa: F401  (registers the built-in task functions)
from miniqueue import __version__, faults, page, problems
from miniqueue.contract import describe
from miniqueue.durability import UNKNOWN, durability
from miniqueue.errors import (
    BackendUnavailable,
    ConfigError,
    MiniQueueError,
    PayloadTooLarge,
    UnknownFunction,
)
from miniqueue.guard import Guard
from miniqueue.inspector import Inspector
from miniqueue.joiner import Joiner
from miniqueue.manage import Manage
from miniqueue.options import MOST_KEY
from miniqueue.outages import Outages
from miniqueue.overview import Overview
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue, submission
from miniqueue.redis_client import connect_async
from miniqueue.registry import Spec, default_registry, load_modules, nearest
from miniqueue.schemas import Accepted, AcceptedMany, ManyTasksIn, TaskId, TaskIn
from miniqueue.settings import Settings
from miniqueue.streams import LAST_EVENT_ID, Streams
from miniqueue.task import Task, TaskState, new_ids, queue_of

__all__ = ["app", "create_app"]

KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names this task: the same request with the same key is sent once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_KEY},
}
# Headers in the OpenAPI document, by the last word of a path.
HEADERS = {"task": [KEY], "events": [LAST_EVENT_ID], "live": [LAST_EVENT_ID]}
SENT = {("POST", "/task"): Accepted, ("POST", "/tasks"): AcceptedMany}
OWN: Any = {"tracing": False, "metrics": False, "logs": False}  # of FastAPI; ours is traced.py
SPEC_S = 5.0  # how long an announced function is remembered
MAX_WAIT_S = 30.0
MOST_QUEUES = 1000  # that are remembered: names of strangers must not fill the memory


class Front:
    """The routes, as methods; they share two clients and what workers have announced."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect_async(settings)
        self.queue = Queue(settings=settings)
        self.inspector = Inspector(self.queue)
        self._protocols: dict[str, Protocol] = {}
        self._joiners: dict[str, Joiner] = {}
        self.streams = Streams(self.client, self.inspector, settings)
        self._specs: dict[str, tuple[float, Spec]] = {}
        self.outages = Outages(self.client, self.queue.protocol)

    # -- sending ---------------------------------------------------------------------------------

    async def post_task(
        self, request: Request, body: Annotated[TaskIn | None, Body()] = None
    ) -> Response:
        """Send one task; without a body the built-in `sample`."""
        task = body or TaskIn()
        sent = await self._submission(task, _key(request))
        (task_id,) = await self._enqueue([sent])
        status, code = ("submitted", 202) if task_id == sent.id else ("duplicate", 200)
        headers = {"Location": f"/task/{task_id}"}
        return JSONResponse({"task_id": task_id, "status": status}, code, headers)

    async def post_tasks(self, body: ManyTasksIn) -> Response:
        """Send many tasks to one queue in one round trip: all are accepted or none."""
        if len(body.tasks) > self.settings.max_bulk:
            raise PayloadTooLarge(
                "the number of tasks", len(body.tasks), self.settings.max_bulk, "MINIQUEUE_MAX_BULK"
            )
        sent: list[Submission] = []
        for index, task in enumerate(body.tasks):
            try:
                sent.append(await self._submission(task, None))
            except MiniQueueError as error:
                error.index = index  # type: ignore[attr-defined]
                raise
        if len({queue_of(one.id) for one in sent}) > 1:
            raise ConfigError("the tasks of one call go to one queue: send a call for each queue")
        ids = await self._enqueue(sent)
        return JSONResponse({"task_ids": ids, "status": "submitted"}, 202)

    async def _submission(self, task: TaskIn, key: str | None) -> Submission:
        changes = task.changes() if key is None else task.changes() | {"idempotency_key": key}
        spec = (await self._spec(task.name)).but(changes)
        task_id = new_ids(spec.options.queue or self.settings.queue, 1)[0]
        return submission(task_id, spec, task.args, task.kwargs, self.settings)

    async def _enqueue(self, sent: list[Submission]) -> list[str]:
        name = queue_of(sent[0].id)
        if name not in self._joiners:
            await self._register(name)
            if len(self._joiners) > MOST_QUEUES:
                self._joiners.clear()
            joiner = Joiner(self.client, self._protocol(name), self.settings.max_bulk)
            self._joiners[name] = joiner
        return await self._joiners[name].enqueue(sent)

    async def _register(self, queue: str) -> None:
        """Put a queue's name among the known ones; strangers must not invent names without end."""
        roster, most = self.queue.protocol.roster, self.settings.max_queues
        is_known, how_many = roster.queues(queue)
        known, count = await asyncio.gather(self.client.run(is_known), self.client.run(how_many))
        if not known and count >= most:
            raise ConfigError(
                f"queue {queue!r} would be new, and there are {count:,} (MINIQUEUE_MAX_QUEUES): "
                "send to one of them"
            )
        await self.client.run(roster.register(queue))

    async def _spec(self, name: str) -> Spec:
        if name in default_registry:
            return default_registry.get(name).spec
        told, spec = self._specs.get(name, (0.0, None))
        if spec is None or time.monotonic() - told > SPEC_S:
            announced = await self.client.run(self.queue.protocol.roster.specs())
            if name not in announced:
                raise UnknownFunction(name, nearest(name, {*announced, *default_registry.specs()}))
            spec = announced[name]
            self._specs[name] = (time.monotonic(), spec)
        return spec

    # -- one task --------------------------------------------------------------------------------

    async def get_task(
        self, task_id: TaskId, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0
    ) -> Response:
        """The task; with `wait_s` the reply comes when it has ended, or after that time."""
        task = await self.client.run(self._protocol(queue_of(task_id)).get(task_id))
        if wait_s and task.finished_ms is None:
            task = await self._wait(task, wait_s)
        return JSONResponse(task.as_dict())

    async def _wait(self, task: Task, wait_s: float) -> Task:
        protocol, feed = self._protocol(task.queue), self.streams.feed(task.queue)
        end = time.monotonic() + wait_s
        ended = await feed.watch(task.id)
        try:
            while True:
                task = await self.client.run(protocol.get(task.id))
                left = end - time.monotonic()
                if task.finished_ms is not None or left <= 0:
                    return task
                ended.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), left)
        finally:
            feed.forget(task.id, ended)

    async def delete_task(self, task_id: TaskId) -> Response:
        """Cancel: a waiting task at once, a running one by asking its worker."""
        found = await self.client.run(self._protocol(queue_of(task_id)).cancel(task_id))
        status = "cancel requested" if found == TaskState.RUNNING else "cancelled"
        return JSONResponse(
            {"task_id": task_id, "status": status}, 202 if found == TaskState.RUNNING else 200
        )

    async def post_retry(self, task_id: TaskId) -> Response:
        """A failed task again, with all its attempts."""
        state = await self.client.run(self._protocol(queue_of(task_id)).retry(task_id))
        return JSONResponse({"task_id": task_id, "status": state}, 202)

    # -- the process -----------------------------------------------------------------------------

    async def get_healthz(self) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok", "version": __version__})

    async def get_readyz(self) -> Response:
        """Redis answers too, and what that is worth to an accepted task; 503 while it does not."""
        await self.client.run(self.queue.protocol.roster.register(self.queue.name))
        try:
            kept = await self.client.run(durability())
        except BackendUnavailable:  # it answers, but CONFIG is not allowed
            kept = UNKNOWN
        return JSONResponse({"status": "ready", "durability": asdict(kept)})

    # -- inside ----------------------------------------------------------------------------------

    def _protocol(self, queue: str) -> Protocol:
        if queue not in self._protocols:
            if len(self._protocols) > MOST_QUEUES:
                self._protocols.clear()
            self._protocols[queue] = Protocol(self.settings, queue)
        return self._protocols[queue]

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Close what was opened."""
        yield
        await self.outages.close()
        await self.streams.close()
        await self.client.close()
        self.queue.client.close()


def _key(request: Request) -> str | None:
    """The Idempotency-Key. Read by hand: as a parameter it is a tenth of a request's time."""
    key = request.headers.get(KEY["name"])
    if key is not None and not 1 <= len(key) <= MOST_KEY:
        raise ConfigError(f"the header Idempotency-Key has 1 to {MOST_KEY} characters")
    return key


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; imports the modules of MINIQUEUE_IMPORT. Raises ConfigError."""
    settings = Settings.from_env() if settings is None else settings
    load_modules(settings.modules)
    front = Front(settings)
    app = FastAPI(
        title="miniqueue",
        version=__version__,
        summary="A distributed task queue: send tasks, follow them, look after queues and workers.",
        lifespan=front.lifespan,
        docs_url=None,  # page.py serves it, without a CDN
        redoc_url=None,
        telemetry=OWN,
    )
    app.state.outages = front.outages
    for method, path, endpoint, codes in _routes(front):
        responses: dict[int | str, dict[str, Any]] = {code: {} for code in codes}
        for code in codes:
            if (method, path) in SENT and code < 300:
                responses[code] = {"model": SENT[method, path]}
        app.add_api_route(
            path, endpoint, methods=[method], responses=responses, response_model=None,
            status_code=min(codes, default=200) if min(codes, default=200) < 300 else 200,
            openapi_extra={"parameters": HEADERS.get(path.rsplit("/", 1)[1], [])},
        )  # fmt: skip
    page.install(app)
    faults.install(app)
    problems.install(app)
    describe(app)
    app.add_middleware(Guard, settings=settings)
    if settings.tracing:
        _trace(app)
    return app


def _trace(app: FastAPI) -> None:
    from miniqueue.spans import provide  # imports OpenTelemetry
    from miniqueue.traced import Traced

    provide("miniqueue-api")
    app.add_middleware(Traced)


def _routes(front: Front) -> list[tuple[str, str, Any, tuple[int, ...]]]:
    """Method, path, endpoint, and the statuses that it can answer with, if not 200 alone."""
    manage, overview, streams = Manage(front.inspector), Overview(front.inspector), front.streams
    return [
        ("POST", "/task", front.post_task, (200, 202, 409, 413, 422, 429, 503)),
        ("POST", "/tasks", front.post_tasks, (202, 413, 422, 429, 503)),
        ("GET", "/task/{task_id}", front.get_task, (404, 422, 503)),
        ("DELETE", "/task/{task_id}", front.delete_task, (200, 202, 404, 409, 422, 503)),
        ("GET", "/task/{task_id}/logs", overview.get_logs, (404, 422, 503)),
        ("GET", "/task/{task_id}/explain", overview.get_explain, (404, 422, 503)),
        ("POST", "/task/{task_id}/retry", front.post_retry, (202, 404, 409, 422, 503)),
        ("GET", "/tasks", overview.get_tasks, (422, 503)),
        ("GET", "/events", streams.get_events, (422, 429, 503)),
        ("GET", "/task/{task_id}/events", streams.get_task_events, (404, 422, 429, 503)),
        ("GET", "/live", streams.get_live, (422, 429)),
        ("POST", "/tickets", streams.post_ticket, (409,)),
        ("GET", "/queues", overview.get_queues, (503,)),
        ("GET", "/workers", overview.get_workers, (503,)),
        ("GET", "/stats", overview.get_stats, (503,)),
        ("GET", "/metrics", overview.get_metrics, (503,)),
        ("GET", "/functions", overview.get_functions, (503,)),
        ("GET", "/task/{task_id}/output", overview.get_output, (404, 422, 503)),
        ("POST", "/queues/{queue}/pause", manage.post_pause, (404, 422, 503)),
        ("POST", "/queues/{queue}/resume", manage.post_resume, (404, 422, 503)),
        ("POST", "/queues/{queue}/failed/retry", manage.post_retry_failed, (404, 422, 503)),
        ("DELETE", "/queues/{queue}/failed", manage.delete_failed, (404, 422, 503)),
        ("GET", "/queues/{queue}/cron", manage.get_cron, (404, 422, 503)),
        ("PUT", "/queues/{queue}/cron/{schedule_name}", manage.put_cron, (413, 422, 503)),
        ("DELETE", "/queues/{queue}/cron/{schedule_name}", manage.delete_cron, (404, 422, 503)),
        ("GET", "/healthz", front.get_healthz, ()),
        ("GET", "/readyz", front.get_readyz, (503,)),
    ]


app = create_app()
