"""Shows: how tasks, queues, workers and timelines look in a notebook.

`install()` is called by the first Stack and by %load_ext; the classes themselves know nothing of
notebooks. What JupyterLab shows as a table is a few aligned lines where there is only text.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from miniqueue.classroom.cells import shell_of
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue, TaskHandle
from miniqueue.task import Task
from miniqueue.views import Event, QueueInfo, WorkerInfo

__all__ = ["Table", "install", "stack_as_html", "table_of"]

MOST = 50  # rows
Printer = Callable[[Any, Any, bool], object]


class Table:
    """Rows under a head, as HTML and as text."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.head = list(head)
        self.rows = [[str(cell) for cell in row] for row in rows[:MOST]]
        self.more = len(rows) - len(self.rows)

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*(line.rstrip() for line in text), *self._rest()])

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Sequence[str]) -> str:
            style = "style='text-align:left'"
            return f"<tr>{''.join(f'<{tag} {style}>{escape(c)}</{tag}>' for c in cells)}</tr>"

        rows = "".join(row("td", cells) for cells in self.rows)
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        return f"<table>{row('th', self.head)}{rows}</table>{rest}"

    def _rest(self) -> list[str]:
        return [f"and {self.more} more"] if self.more else []


def table_of(thing: Any) -> Table | None:
    """A table of a task, a queue, or a list of tasks, workers, queues or events; None else."""
    if isinstance(thing, Queue):
        return _queues([Inspector(thing).queue_info(thing.name)])
    if isinstance(thing, list):
        kinds = {type(item) for item in thing}
        many = MANY.get(kinds.pop()) if len(kinds) == 1 else None
        return many(thing) if many else None
    one = MANY.get(type(thing))
    return one([thing]) if one else None


def stack_as_html(text: str, url: str) -> str:
    """A stack in a notebook: links to its dashboard and API, and the dashboard itself, folded.

    On JupyterHub and Binder a browser reaches the kernel's machine through jupyter-server-proxy
    alone. Without a URL, of a stack that has been stopped, the text is all.
    """
    if not url:
        return escape(text)
    if hub := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        url = f"{hub}proxy/{url.rpartition(':')[2]}"
    links = " · ".join(
        f"<a href='{url}{path}' target='_blank'>{name}</a>"
        for path, name in (("/", "dashboard"), ("/docs", "API"))
    )
    looks = "width:100%;height:600px;border:1px solid #8a8a8a"
    frame = f"<iframe src='{url}/' loading='lazy' style='{looks}'></iframe>"
    return f"{escape(text)} · {links}<details><summary>dashboard, here</summary>{frame}</details>"


def _tasks(tasks: Sequence[Task]) -> Table:
    head = ("task", "function", "state", "attempt", "worker", "result")
    return Table(
        head, [(t.id, _call(t), t.state, t.attempt, t.worker or "", _end(t)) for t in tasks]
    )


def _call(task: Task) -> str:
    words = [*map(repr, task.args), *(f"{k}={v!r}" for k, v in task.kwargs.items())]
    return _short(f"{task.name}({', '.join(words)})")


def _end(task: Task) -> str:
    if task.error:
        return _short(f"{task.error.get('type', 'error')}: {task.error.get('message', '')}")
    return "" if task.result is None else _short(repr(task.result))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _queues(queues: Sequence[QueueInfo]) -> Table:
    head = ("queue", "waiting", "scheduled", "running", "failed", "finished", "paused")
    counts = [(q.waiting, q.scheduled, q.running, q.failed, q.finished) for q in queues]
    paused = ["yes" if q.paused else "no" for q in queues]
    return Table(head, [(q.name, *counts[i], paused[i]) for i, q in enumerate(queues)])


def _workers(workers: Sequence[WorkerInfo]) -> Table:
    head = ("worker", "doing", "done", "last sign of life")
    signs = [f"{w.beat_age_s:.1f} s ago" + ("" if w.alive else ": late") for w in workers]
    rows = [(w.id, " ".join(w.doing), w.done) for w in workers]
    return Table(head, [(*row, sign) for row, sign in zip(rows, signs, strict=True)])


def _events(events: Sequence[Event]) -> Table:
    head = ("s", "verb", "attempt", "worker", "state", "why")
    seconds = [f"{(event.at_ms - events[0].at_ms) / 1000:.3f}" for event in events]
    rows = [(e.verb, _attempts(e), e.worker, e.state, e.reason) for e in events]
    return Table(head, [(at, *row) for at, row in zip(seconds, rows, strict=True)])


def _attempts(event: Event) -> str:
    if len(event.tasks) > 1:
        return f"{len(event.tasks)} tasks"
    return str(event.tasks[0].attempt) if event.tasks else ""


def _handles(handles: Sequence[TaskHandle]) -> Table:
    return _tasks([handle.get() for handle in handles[: MOST + 1]])


MANY: dict[type[Any], Callable[[Any], Table]] = {
    Task: _tasks,
    TaskHandle: _handles,
    QueueInfo: _queues,
    WorkerInfo: _workers,
    Event: _events,
}


def install() -> None:
    """In a notebook, from now on show these things as tables; elsewhere nothing."""
    shell = shell_of()
    if shell is None:
        return
    html, plain = (shell.display_formatter.formatters[f"text/{k}"] for k in ("html", "plain"))
    if html.for_type(Queue) is not None:  # was here before
        return
    for kind in (*MANY, Queue, list):
        html.for_type(kind, _html)
        plain.for_type(kind, _plain(plain.for_type(kind)))


def _html(thing: Any) -> str | None:
    table = _table(thing)
    return None if table is None else table._repr_html_()


def _plain(usual: Printer | None) -> Printer:
    def show(thing: Any, printer: Any, cycle: bool) -> None:
        table = _table(thing)
        if table is None and usual is not None:
            usual(thing, printer, cycle)
        else:
            printer.text(repr(thing if table is None else table))

    return show


def _table(thing: Any) -> Table | None:
    """None where there is nothing special to show, or Redis cannot be asked."""
    try:
        return table_of(thing)
    except Exception:  # a picture of a thing must not break the cell that has it
        return None
