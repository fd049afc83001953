"""The bodies of HTTP requests and replies."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from miniqueue.cron import Missed
from miniqueue.inspector import EVENT_ID
from miniqueue.options import Options, Takes
from miniqueue.task import Priority

__all__ = [
    "Accepted",
    "AcceptedMany",
    "Cursor",
    "EventId",
    "ManyTasksIn",
    "Problem",
    "QueueName",
    "QueuePath",
    "QueueQuery",
    "ScheduleIn",
    "TaskId",
    "TaskIn",
]

TaskId = Annotated[
    str, Path(max_length=100, pattern=r"^([A-Za-z0-9_-]{1,64}\.)?[A-Za-z0-9_-]{1,64}$")
]
NAME = r"^[A-Za-z0-9_-]{1,64}$"
QueueName = Annotated[str, Field(pattern=NAME, examples=["default"])]
Number = functools.partial(Field, strict=True, allow_inf_nan=False)  # true is not 1
# Of these the routes say in better words than a pattern what is wrong.
QueuePath = Annotated[str, Path(json_schema_extra={"pattern": NAME})]
QueueQuery = Annotated[str | None, Query(json_schema_extra={"pattern": NAME})]
EventId = Annotated[str, Query(json_schema_extra={"pattern": f"^{EVENT_ID.pattern}$"})]
Cursor = Annotated[str | None, Query(json_schema_extra={"pattern": "^[0-9]+-[0-9]+$"})]


class TaskIn(BaseModel):
    """A task to run. Everything has a default: no body at all runs `sample`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "add", "args": [2, 3]},
                {"name": "sleep", "args": [0.5], "priority": "high"},
            ]
        },
    )

    name: Annotated[str, Field(max_length=64)] = "sample"
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: QueueName | None = None
    priority: Priority | None = None
    delay_s: Annotated[float, Number(ge=0, le=31_536_000)] | None = None
    max_attempts: Annotated[int, Number(ge=1, le=1000)] | None = None
    timeout_s: Annotated[float, Number(ge=0.001, le=604_800)] | None = None
    expires_s: Annotated[float, Number(ge=0.001, le=31_536_000)] | None = None
    after: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=1000)] = []
    takes: Takes = "nothing"

    def changes(self) -> dict[str, Any]:
        """The options that this body sets."""
        told = {n: getattr(self, n) for n in self.model_fields_set & OPTIONS}
        if "after" in told:
            told["after"] = tuple(self.after)
        return {name: value for name, value in told.items() if value is not None}


OPTIONS = set(Options.__slots__) & set(TaskIn.model_fields)


class ManyTasksIn(BaseModel):
    """Tasks to run: all are accepted or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"tasks": [{"name": "add", "args": [2, 3]}, {"name": "sample"}]}]
        },
    )

    tasks: Annotated[list[TaskIn], Field(min_length=1)]


class ScheduleIn(BaseModel):
    """A task to send at the times of a cron expression."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cron": "*/5 * * * *", "name": "add", "args": [2, 3]}]},
    )

    cron: Annotated[str, Field(max_length=200)]
    name: Annotated[str, Field(max_length=64)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    missed: Missed = "once"


class Accepted(BaseModel):
    """`duplicate`: the Idempotency-Key was known, the id is the older task's."""

    task_id: str
    status: Literal["submitted", "duplicate"]


class AcceptedMany(BaseModel):
    task_ids: list[str]
    status: Literal["submitted"]


class Problem(BaseModel):
    """RFC 9457. Some errors carry more members: nearest, signature, errors, retry_after_s."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
