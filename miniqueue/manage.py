"""Routes that look after a queue: pause, schedules, failed tasks; on the synchronous client."""

from __future__ import annotations

from typing import Annotated

from fastapi import HTTPException, Query, Response
from fastapi.responses import JSONResponse

from miniqueue.cron import schedule, schedules, unschedule
from miniqueue.failed import purge_failed, retry_failed
from miniqueue.flow import step
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.schemas import QueuePath, ScheduleIn
from miniqueue.settings import check_name

__all__ = ["Manage"]

Name = Annotated[str | None, Query(max_length=64)]


class Manage:
    """The routes, as methods."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def post_pause(self, queue: QueuePath) -> Response:
        """Workers claim nothing more of this queue; what runs goes on."""
        changed = self._queue(queue).pause()
        return JSONResponse({"queue": queue, "paused": True, "changed": changed})

    def post_resume(self, queue: QueuePath) -> Response:
        """Workers may claim of this queue again."""
        changed = self._queue(queue).resume()
        return JSONResponse({"queue": queue, "paused": False, "changed": changed})

    def post_retry_failed(self, queue: QueuePath, name: Name = None) -> Response:
        """Queue all failed tasks again, or those of one function; up to 10,000 a call."""
        return JSONResponse({"queue": queue, "retried": retry_failed(self._queue(queue), name)})

    def delete_failed(self, queue: QueuePath, name: Name = None) -> Response:
        """Forget all failed tasks, or those of one function; up to 10,000 a call."""
        return JSONResponse({"queue": queue, "purged": purge_failed(self._queue(queue), name)})

    def get_cron(self, queue: QueuePath) -> Response:
        """The schedules of a queue, with the next time of each."""
        return JSONResponse({"schedules": [s.as_dict() for s in schedules(self._queue(queue))]})

    def put_cron(self, queue: QueuePath, schedule_name: QueuePath, body: ScheduleIn) -> Response:
        """Set or replace a schedule: a cron expression and the task to send at its times."""
        call = step(body.name, *body.args, **body.kwargs)
        made = schedule(
            self._sibling(queue), schedule_name, body.cron, call, timezone=body.timezone,
            missed=body.missed,
        )  # fmt: skip
        return JSONResponse(made.as_dict())

    def delete_cron(self, queue: QueuePath, schedule_name: QueuePath) -> Response:
        """Remove a schedule; tasks that it has sent stay."""
        if not unschedule(self._queue(queue), check_name("schedule", schedule_name)):
            raise HTTPException(404, f"queue {queue!r} has no schedule {schedule_name!r}")
        return JSONResponse({"schedule": schedule_name, "removed": True})

    def _queue(self, name: str) -> Queue:
        names = self._inspector.queue_names()
        if check_name("queue", name) not in names:
            raise HTTPException(404, f"no queue is called {name!r}; there are {', '.join(names)}")
        return self._sibling(name)

    def _sibling(self, name: str) -> Queue:
        return self._inspector.queue.sibling(check_name("queue", name))
