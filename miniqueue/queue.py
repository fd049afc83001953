"""Queue: what users call to send tasks and to learn what became of them."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from miniqueue.errors import (
    ConfigError,
    PayloadTooLarge,
    TaskCancelled,
    TaskFailed,
    UnknownFunction,
)
from miniqueue.options import Options
from miniqueue.protocol.calls import Call
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.redis_client import BLOCK_S, Client, connect
from miniqueue.registry import (
    Registry,
    Spec,
    TaskFunction,
    default_registry,
    nearest,
)
from miniqueue.settings import Settings
from miniqueue.task import (
    TERMINAL,
    Task,
    TaskState,
    encode,
    encode_json,
    new_ids,
    queue_of,
    size_of,
)

__all__ = ["Queue", "TaskHandle", "submission"]

STREAM_MS = 500  # how often a reader of output looks whether the task has ended


@dataclass(frozen=True)
class TaskHandle:
    """A sent task: its id, and ways to ask about it."""

    id: str
    queue: Queue

    def get(self) -> Task:
        """The task as it is now. Raises TaskNotFound."""
        return self.queue.get(self.id)

    @property
    def state(self) -> TaskState:
        return self.get().state

    def wait(self, timeout_s: float | None = None) -> Any:
        """The result, once there is one.

        Raises TaskFailed, TaskCancelled, TimeoutError, TaskNotFound.
        """
        task = self.queue.wait(self.id, timeout_s)
        if task.state is TaskState.FAILED:
            raise TaskFailed(self.id, task.error or {})
        if task.state is TaskState.CANCELLED:
            raise TaskCancelled(self.id, (task.error or {}).get("message", "cancelled"))
        return task.result

    def stream(self, timeout_s: float | None = None) -> Iterator[str]:
        """The pieces of output that the task emits, as they come, until it has ended.

        A new attempt begins anew unless it goes on from a checkpoint. Raises TimeoutError,
        TaskNotFound.
        """
        return self.queue.stream(self.id, timeout_s)

    def cancel(self) -> TaskState:
        """Cancel it; gives the state it was in: a running one ends within about a second."""
        return self.queue.cancel(self.id)


class Queue:
    """One queue on one Redis: `Queue()`, `Queue("mail")`, `Queue(settings=Settings(...))`.

    Safe to share between threads; not between processes after a fork.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        settings: Settings | None = None,
        registry: Registry = default_registry,
        client: Client | None = None,
    ) -> None:
        self.settings = Settings.from_env() if settings is None else settings
        if name is not None:
            self.settings = replace(self.settings, queue=name)
        self.name = self.settings.queue
        self.registry = registry
        self.client = connect(self.settings) if client is None else client
        self.protocol = Protocol(self.settings, self.name)
        self._registered = False

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    def enqueue(
        self, function: TaskFunction[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> TaskHandle:
        """Send one task: enqueue(add, 2, 3), or by name: enqueue("add", 2, 3).

        Raises UnknownFunction, PayloadError, TaskExists, QueueFull, BackendUnavailable.
        """
        return self._send(self.spec(function), [(args, kwargs)])[0]

    def enqueue_call(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> TaskHandle:
        """Send one task by name, with options (the fields of Options) as data.

        Raises as enqueue().
        """
        return self._send(self.spec(name).but(options), [(args, kwargs)])[0]

    def enqueue_many(
        self, function: TaskFunction[..., Any] | str, calls: Iterable[Sequence[Any]], /
    ) -> list[TaskHandle]:
        """Send a task for each tuple of arguments; a round trip carries up to max_bulk of them.

        A round trip is all or nothing. Raises as enqueue() does; what earlier round trips sent
        stays.
        """
        calls = list(calls)
        spec = self.spec(function)
        step = self.settings.max_bulk
        handles: list[TaskHandle] = []
        for at in range(0, len(calls), step):
            handles += self._send(spec, [(args, {}) for args in calls[at : at + step]])
        return handles

    def _send(
        self, spec: Spec, calls: Sequence[tuple[Sequence[Any], dict[str, Any]]]
    ) -> list[TaskHandle]:
        queue = (
            self if spec.options.queue in (None, self.name) else self.sibling(spec.options.queue)
        )
        if spec.options.idempotency_key and len(calls) > 1:
            raise ConfigError("an idempotency_key names one task; enqueue_many sends several")
        ids = new_ids(queue.name, len(calls))
        sent = [
            submission(task_id, spec, args, kwargs, queue.settings)
            for task_id, (args, kwargs) in zip(ids, calls, strict=True)
        ]
        return [TaskHandle(task_id, queue) for task_id in queue.submit(sent)]

    def submit(self, submissions: Sequence[Submission]) -> list[str]:
        """Send prepared tasks in one round trip; gives their ids."""
        call = self.protocol.enqueue(submissions)
        more: list[Call[Any]] = []
        if not self._registered:
            more.append(self.protocol.roster.register(self.name))
        if any(submission.after for submission in submissions):
            more.append(self.protocol.advance())  # the parents may have ended before
        ids = self.client.run_many([call, *more])[0] if more else self.client.run(call)
        self._registered = True
        return ids

    def get(self, task_id: str) -> Task:
        """Read a task of any queue. Raises TaskNotFound."""
        return self.client.run(self._protocol_of(task_id).get(task_id))

    def wait(self, task_id: str, timeout_s: float | None = None) -> Task:
        """Block until the task has ended; no polling. Raises TimeoutError, TaskNotFound."""
        end = math.inf if timeout_s is None else time.monotonic() + timeout_s
        protocol = self._protocol_of(task_id)
        while True:
            left = max(0.001, min(BLOCK_S, end - time.monotonic()))
            calls = (
                protocol.wait(task_id),
                protocol.block_for(task_id, left),
                protocol.get(task_id),
            )
            task: Task = self.client.run_many(calls)[-1]
            if task.state in TERMINAL:
                return task
            if time.monotonic() >= end:
                raise TimeoutError(f"task {task_id} is {task.state} after {timeout_s} s")

    def stream(self, task_id: str, timeout_s: float | None = None) -> Iterator[str]:
        """What TaskHandle.stream gives."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        protocol, last = self._protocol_of(task_id), "0"
        while True:
            ended = self.get(task_id).state in TERMINAL
            block_ms = 0 if ended else STREAM_MS
            pieces = self.client.run(protocol.read_output(task_id, last, block_ms=block_ms))
            for last, fields in pieces:  # noqa: B007  (the next read goes on after the last one)
                yield fields.get("piece", "")
            if ended and not pieces:
                return
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"task {task_id} still emits after {timeout_s} s")

    def cancel(self, task_id: str) -> TaskState:
        """Cancel a waiting task, or ask the worker of a running one; gives the state it was in."""
        return TaskState(self.client.run(self._protocol_of(task_id).cancel(task_id)))

    def retry(self, task_id: str) -> None:
        """Queue a failed task again, with all its attempts.

        Raises TaskNotFound, InvalidTransition.
        """
        self.client.run(self._protocol_of(task_id).retry(task_id))

    def pause(self) -> bool:
        """Let workers claim nothing more; False where it was paused before."""
        return self.client.run(self.protocol.pause())

    def resume(self) -> bool:
        """Let workers claim again; False where it was not paused."""
        return self.client.run(self.protocol.resume())

    def spec(self, function: TaskFunction[..., Any] | str) -> Spec:
        """What is known of a function, registered here or announced by workers.

        Raises UnknownFunction, ConfigError, BackendUnavailable.
        """
        if isinstance(function, TaskFunction):
            return function.spec
        if not isinstance(function, str):
            raise ConfigError(f"{function!r} is not a task function: decorate it with @task")
        if function in self.registry:
            return self.registry.get(function).spec
        spec = self.client.run(self.protocol.roster.spec(function))
        if spec is None:
            known = self.client.run(self.protocol.roster.specs())
            if function in known:  # announced a moment ago
                return known[function]
            raise UnknownFunction(function, nearest(function, {*known, *self.registry.specs()}))
        return spec

    def prepare(self, spec: Spec, args: Sequence[Any], kwargs: dict[str, Any]) -> Submission:
        """A task of this queue, checked and encoded, for submit(); it keeps to this queue.

        Raises PayloadError, PayloadTooLarge, and ConfigError where the function has another queue.
        """
        other = spec.options.queue
        if other not in (None, self.name):
            raise ConfigError(
                f"this stays in one queue, {self.name!r}, and {spec.name!r} has queue {other!r}: "
                f"say --queue {other} or Queue({other!r})"
            )
        return submission(new_ids(self.name, 1)[0], spec, args, kwargs, self.settings)

    def sibling(self, name: str | None) -> Queue:
        """Another queue on the same Redis, through the same client."""
        return Queue(name, settings=self.settings, registry=self.registry, client=self.client)

    def _protocol_of(self, task_id: str) -> Protocol:
        queue = queue_of(task_id)
        return self.protocol if queue == self.name else Protocol(self.settings, queue)


def submission(
    task_id: str,
    spec: Spec,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    settings: Settings,
) -> Submission:
    """Check a call against its function and encode it. Raises PayloadError, PayloadTooLarge."""
    options = spec.options
    if options.after:
        _check_parents(options.after, task_id)
    spec.check([None, *args] if options.takes != "nothing" else args, kwargs)
    args_text = encode(args, "the arguments", spec.name)
    kwargs_text = encode(kwargs, "the arguments", spec.name) if kwargs else "{}"
    size = size_of(args_text) + size_of(kwargs_text)
    if size > settings.max_body_bytes:
        raise PayloadTooLarge(
            "the arguments", size, settings.max_body_bytes, "MINIQUEUE_MAX_BODY_BYTES"
        )
    key, trace = options.idempotency_key or "", ""
    if settings.tracing:
        from miniqueue.spans import creation  # imports OpenTelemetry

        trace = creation(queue_of(task_id), task_id, spec.name)
    return Submission(
        id=task_id,
        name=spec.name,
        args=args_text,
        kwargs=kwargs_text,
        priority=options.priority,
        max_attempts=options.max_attempts or settings.max_attempts,
        delay_ms=int(options.delay_s * 1000),
        expiry_ms=int((options.expires_s or 0) * 1000),
        timeout_s=options.timeout_s,
        unique=key,
        after=options.after,
        takes=options.takes,
        digest=_digest(spec.name, args_text, kwargs_text, options) if key else "",
        trace=trace,
    )


def _check_parents(after: Sequence[str], task_id: str) -> None:
    for parent in after:
        if queue_of(parent) != queue_of(task_id):
            raise ConfigError(
                f"task {parent} is in queue {queue_of(parent)!r}: a task waits only for tasks of "
                f"its own queue, {queue_of(task_id)!r}"
            )
        if "," in parent:
            raise ConfigError(f"after: {parent!r} is not a task id")


def _digest(name: str, args: str, kwargs: str, options: Options) -> str:
    body = encode_json([name, args, kwargs, repr(replace(options, idempotency_key=None))])
    return hashlib.sha256(body.encode()).hexdigest()[:16]
