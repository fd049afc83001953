"""miniqueue: a distributed task queue, small enough to read and real enough to trust.

from miniqueue import Queue, task

@task
def add(x, y):
    return x + y

Queue().enqueue(add, 2, 3).wait(timeout_s=5)      # 5, once a worker runs
"""

from typing import Any

from miniqueue.context import Context
from miniqueue.errors import (
    BackendUnavailable,
    ConfigError,
    Fail,
    InvalidTransition,
    LeaseLost,
    MiniQueueError,
    PayloadError,
    PayloadTooLarge,
    QueueFull,
    Retry,
    TaskCancelled,
    TaskExists,
    TaskFailed,
    TaskNotFound,
    UnknownFunction,
)
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import task
from miniqueue.settings import Settings
from miniqueue.task import Task, TaskState

__all__ = [
    "BackendUnavailable",
    "ConfigError",
    "Context",
    "Fail",
    "InvalidTransition",
    "LeaseLost",
    "MiniQueueError",
    "PayloadError",
    "PayloadTooLarge",
    "Queue",
    "QueueFull",
    "Retry",
    "Settings",
    "Task",
    "TaskCancelled",
    "TaskExists",
    "TaskFailed",
    "TaskHandle",
    "TaskNotFound",
    "TaskState",
    "UnknownFunction",
    "task",
]
__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext miniqueue`: cells that begin with %%tasks or %%answer (classroom/magics.py)."""
    from miniqueue.classroom.cells import late_stop

    with late_stop():
        from miniqueue.classroom.magics import TaskMagics
    shell.register_magics(TaskMagics)
