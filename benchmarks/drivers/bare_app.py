"""What http_api.py holds miniqueue's API against: the same three routes, and nothing behind them.

The same body models, the same shape of reply; no checks, no Redis. `uvicorn bare_app:app` runs it.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from miniqueue.schemas import ManyTasksIn, TaskIn
from miniqueue.task import new_ids

app = FastAPI()
TASK = {
    "queue": "default",
    "name": "add",
    "state": "queued",
    "args": [2, 3],
    "kwargs": {},
    "priority": "normal",
    "attempt": 0,
    "max_attempts": 3,
    "released": 0,
    "enqueued_ms": 1700000000000,
    "after": [],
}


@app.post("/task", response_model=None)
async def post_task(body: TaskIn) -> JSONResponse:
    (task_id,) = new_ids("default", 1)
    headers = {"Location": f"/task/{task_id}"}
    return JSONResponse({"task_id": task_id, "status": "submitted"}, 202, headers)


@app.post("/tasks", response_model=None)
async def post_tasks(body: ManyTasksIn) -> JSONResponse:
    ids = new_ids("default", len(body.tasks))
    return JSONResponse({"task_ids": ids, "status": "submitted"}, 202)


@app.get("/task/{task_id}", response_model=None)
async def get_task(task_id: str) -> JSONResponse:
    return JSONResponse({"task_id": task_id, **TASK})
