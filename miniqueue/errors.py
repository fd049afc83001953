"""Every exception of miniqueue, in one tree.

    MiniQueueError
    ├── ConfigError          a setting, an option or a name is not usable
    ├── TaskNotFound         no task has this id (any more)
    ├── TaskExists           an id or an idempotency key is taken by another task
    ├── UnknownFunction      no worker has announced a task function of this name
    ├── InvalidTransition    the task's state forbids what was asked
    ├── LeaseLost            another attempt owns the task now
    ├── PayloadError         arguments or a result do not fit
    │   └── PayloadTooLarge  … because they are too many bytes
    ├── QueueFull            the queue has reached its limit
    ├── BackendUnavailable   Redis is away; nothing is half done
    ├── StackError           a service of the classroom's stack did not come up
    ├── GuessError           a learner's guess is nothing that could be drawn or compared
    ├── NotRepeatable        a program does something else each time: it cannot be explored
    ├── TaskFailed           raised by wait(): the task ended in `failed`
    └── TaskCancelled        raised by wait(): the task ended in `cancelled`

    Retry, Fail              raised *by* task functions: try again later / never again

Each class carries its data as attributes, so that a caller never has to parse a message.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BackendUnavailable",
    "ConfigError",
    "Fail",
    "GuessError",
    "InvalidTransition",
    "LeaseLost",
    "MiniQueueError",
    "NotRepeatable",
    "PayloadError",
    "PayloadTooLarge",
    "QueueFull",
    "Retry",
    "StackError",
    "TaskCancelled",
    "TaskExists",
    "TaskFailed",
    "TaskNotFound",
    "UnknownFunction",
]


class MiniQueueError(Exception):
    """The root: `except MiniQueueError` catches whatever the queue itself raises."""


class ConfigError(MiniQueueError):
    """A setting, option or name that cannot be used; the message names the fix."""


class TaskNotFound(MiniQueueError):
    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task has the id {task_id!r}; a finished task is forgotten after MINIQUEUE_KEEP_S"
        )
        self.task_id = task_id


class TaskExists(MiniQueueError):
    """`key` is the idempotency key that is taken, or None when the id itself is."""

    def __init__(self, task_id: str, key: str | None = None) -> None:
        what = f"a task with id {task_id!r} exists"
        if key is not None:
            what = (
                f"the idempotency key {key!r} belongs to task {task_id}, which was sent with "
                "another body; use a new key for a new task"
            )
        super().__init__(what)
        self.task_id = task_id
        self.key = key


class UnknownFunction(MiniQueueError):
    """`nearest` holds up to three known names that look like the one asked for."""

    def __init__(self, name: str, nearest: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(
            f"no task function is called {name!r}{hint} "
            "(start a worker with --import MODULE to announce its functions)"
        )
        self.name = name
        self.nearest = nearest


class InvalidTransition(MiniQueueError):
    def __init__(self, task_id: str, state: str, verb: str) -> None:
        super().__init__(f"cannot {verb} task {task_id}: it is {state}")
        self.task_id = task_id
        self.state = state
        self.verb = verb


class LeaseLost(MiniQueueError):
    def __init__(self, task_id: str, attempt: int) -> None:
        super().__init__(
            f"attempt {attempt} of task {task_id} lost its lease; its result is dropped"
        )
        self.task_id = task_id
        self.attempt = attempt


class PayloadError(MiniQueueError):
    """Arguments do not fit the function's signature, or a value is not JSON."""

    def __init__(self, problem: str, signature: str | None = None) -> None:
        super().__init__(problem if signature is None else f"{problem}; call it as {signature}")
        self.problem = problem
        self.signature = signature


class PayloadTooLarge(PayloadError):
    def __init__(self, what: str, size: int, limit: int, setting: str) -> None:
        super().__init__(f"{what} is {size:,} bytes, the limit is {limit:,} ({setting})")
        self.size = size
        self.limit = limit
        self.setting = setting


class QueueFull(MiniQueueError):
    """`retry_after_s` is a polite time to wait, in seconds."""

    def __init__(self, queue: str, waiting: int, limit: int) -> None:
        super().__init__(
            f"queue {queue!r} holds {waiting:,} waiting tasks and its limit is {limit:,} "
            "(MINIQUEUE_MAX_QUEUED); try again later or add workers"
        )
        self.queue = queue
        self.waiting = waiting
        self.limit = limit
        self.retry_after_s = 1


class BackendUnavailable(MiniQueueError):
    def __init__(self, problem: str) -> None:
        super().__init__(f"Redis is not available: {problem}")
        self.problem = problem


class StackError(MiniQueueError):
    """`log` is the end of the service's log, where there is one."""

    def __init__(self, problem: str, log: str = "") -> None:
        super().__init__(f"{problem}\n{log}".rstrip())
        self.problem = problem
        self.log = log


class GuessError(MiniQueueError):
    """A guess in a notebook that cannot be one; the message says what is expected."""


class NotRepeatable(MiniQueueError):
    """A program did something else when it was told the same (classroom.explorer)."""


class TaskFailed(MiniQueueError):
    """`error` is what the task left behind: type, message and, if it raised, a traceback."""

    def __init__(self, task_id: str, error: dict[str, Any]) -> None:
        super().__init__(f"task {task_id} failed: {error.get('type')}: {error.get('message')}")
        self.task_id = task_id
        self.error = error


class TaskCancelled(MiniQueueError):
    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {task_id} was cancelled: {reason}")
        self.task_id = task_id
        self.reason = reason


class Retry(Exception):
    """Raise it in a task function: this attempt is over, try again in `after_s` seconds.

    Without `after_s` the usual backoff decides. The attempt counts like any other.
    """

    def __init__(self, reason: str = "asked for another attempt", *, after_s: float | None = None):
        super().__init__(reason)
        self.after_s = after_s


class Fail(Exception):
    """Raise it in a task function: end in `failed` now, whatever attempts are left."""


# How HTTP says them: the status, and a title by which a client knows the class again.
STATUS: dict[type[MiniQueueError], tuple[int, str]] = {
    TaskNotFound: (404, "Task not found"),
    TaskExists: (409, "Idempotency key in use"),
    InvalidTransition: (409, "The task's state forbids it"),
    PayloadTooLarge: (413, "Payload too large"),
    UnknownFunction: (422, "Unknown task function"),
    PayloadError: (422, "Wrong arguments"),
    ConfigError: (422, "Unusable value"),
    QueueFull: (429, "Queue full"),
    BackendUnavailable: (503, "Redis is away"),
}
