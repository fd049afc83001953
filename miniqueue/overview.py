"""Routes that show: tasks, queues, workers, functions; on the synchronous Inspector, in threads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse

from miniqueue.inspector import Inspector
from miniqueue.registry import default_registry
from miniqueue.schemas import Cursor, EventId, QueueQuery, TaskId
from miniqueue.settings import check_name
from miniqueue.task import TaskState

__all__ = ["Overview"]


class Overview:
    """The routes, as methods."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def get_logs(self, task_id: TaskId) -> Response:
        """The log lines kept with the task, the newest ones, and its last progress."""
        task = self._inspector.task(task_id)
        return JSONResponse(
            {
                "task_id": task_id,
                "lines": self._inspector.logs(task_id),
                "progress": task.progress,
            }
        )

    def get_explain(self, task_id: TaskId) -> Response:
        """Plain sentences: why it waits, why it ran twice, what became of it."""
        return JSONResponse({"task_id": task_id, "sentences": self._inspector.explain(task_id)})

    def get_tasks(
        self,
        state: TaskState | None = None,
        queue: QueueQuery = None,
        name: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Cursor = None,
    ) -> Response:
        """Tasks, a page at a time; go on with `cursor` until it is null."""
        page = self._inspector.tasks(
            state, queue=_known(queue), name=name, limit=limit, cursor=cursor
        )
        return JSONResponse(
            {"tasks": [task.as_dict() for task in page.tasks], "cursor": page.cursor}
        )

    def get_queues(self) -> Response:
        """All queues in numbers."""
        return JSONResponse({"queues": [asdict(queue) for queue in self._inspector.queues()]})

    def get_workers(self) -> Response:
        """The workers, what each is doing, and the age of its last beat."""
        return JSONResponse({"workers": [worker.as_dict() for worker in self._inspector.workers()]})

    def get_stats(self) -> Response:
        """Sums over all queues."""
        queues, workers = self._inspector.queues(), self._inspector.workers()
        return JSONResponse(
            {
                "queued": sum(q.waiting for q in queues),
                **{
                    n: sum(getattr(q, n) for q in queues)
                    for n in ("scheduled", "running", "failed", "finished")
                },
                "workers": sum(worker.alive for worker in workers),
                "verbs": {
                    verb: sum(q.stats.get(verb, 0) for q in queues)
                    for q in queues
                    for verb in q.stats
                },
            }
        )

    def get_metrics(self, request: Request) -> Response:
        """Queues, runs and workers for Prometheus, in its text format or OpenMetrics."""
        from miniqueue.prometheus import exposition  # 20 ms, and few processes are ever asked

        text, media_type = exposition(self._inspector, request.headers.get("accept"))
        return Response(text, media_type=media_type)

    def get_functions(self) -> Response:
        """The task functions that can be called, and how."""
        known = {**default_registry.specs(), **self._inspector.functions()}
        return JSONResponse(
            {
                "functions": [
                    {"name": n, "usage": s.usage, "doc": s.doc} for n, s in sorted(known.items())
                ]
            }
        )

    def get_output(
        self,
        task_id: TaskId,
        after: EventId = "0",
        limit: Annotated[int, Query(ge=1, le=5000)] = 500,
    ) -> Response:
        """Pieces of output that a task has emitted; go on with the last piece's id as `after`."""
        found = self._inspector.output(task_id, after=after, limit=limit)
        return JSONResponse({"task_id": task_id, "pieces": [asdict(piece) for piece in found]})


def _known(queue: str | None) -> str | None:
    return None if queue is None else check_name("queue", queue)
