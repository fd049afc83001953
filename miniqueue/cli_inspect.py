"""`miniqueue inspect …`: how the read side looks in a terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from miniqueue.queue import Queue
from miniqueue.settings import Settings

if TYPE_CHECKING:  # at run time where it is used: a worker starts without them
    from miniqueue.inspector import Inspector
    from miniqueue.views import Event

__all__ = ["COMMANDS", "inspector", "show", "table"]

Args = argparse.Namespace


def inspector(args: Args) -> Inspector:
    """The inspector of the queue that the command line names."""
    from miniqueue.inspector import Inspector

    return Inspector(Queue(getattr(args, "queue", None), settings=Settings.from_env()))


def _tasks(args: Args) -> int:
    page = inspector(args).tasks(args.state, name=args.name, limit=args.limit, cursor=args.cursor)
    shown = {"tasks": [task.as_dict() for task in page.tasks], "cursor": page.cursor}

    def lines() -> Iterable[str]:
        rows = [(t.id, t.name, t.state, t.attempt, t.priority, t.worker or "-") for t in page.tasks]
        yield from table(("task", "name", "state", "attempt", "priority", "worker"), rows)
        if page.cursor:
            yield f"more: --cursor {page.cursor}"

    show(args, shown, lines)
    return 0


def _task(args: Args) -> int:
    reader = inspector(args)
    task, timeline = reader.task(args.id), reader.timeline(args.id)
    shown = task.as_dict() | {"timeline": [asdict(event) for event in timeline]}

    def lines() -> Iterable[str]:
        yield from (f"{name:15} {_text(value)}" for name, value in task.as_dict().items())
        yield ""
        yield from _events_table(timeline)

    show(args, shown, lines)
    return 0


def _queues(args: Args) -> int:
    queues = inspector(args).queues()

    def lines() -> Iterable[str]:
        rows = [
            (
                q.name,
                *q.ready.values(),
                q.scheduled,
                q.running,
                q.failed,
                q.finished,
                "yes" if q.paused else "no",
            )
            for q in queues
        ]
        head = (
            "queue",
            "high",
            "normal",
            "low",
            "scheduled",
            "running",
            "failed",
            "finished",
            "paused",
        )
        return table(head, rows)

    show(args, [asdict(q) for q in queues], lines)
    return 0


def _workers(args: Args) -> int:
    workers = inspector(args).workers()
    rows = [
        (w.id, w.queue, w.pid, w.done, f"{w.beat_age_s:.1f} s", " ".join(w.doing) or "-")
        for w in workers
    ]
    head = ("worker", "queue", "pid", "done", "last beat", "doing")
    show(args, [asdict(w) for w in workers], lambda: table(head, rows))
    return 0


def _events(args: Args) -> int:
    events = inspector(args).events(after=args.after, limit=args.limit)
    show(args, [asdict(event) for event in events], lambda: _events_table(events))
    return 0


def _check(args: Args) -> int:
    problems = inspector(args).check()
    show(args, problems, lambda: problems or ["every task is where its state says"])
    return 1 if problems else 0


def show(args: Args, data: Any, lines: Callable[[], Iterable[str]]) -> None:
    """Print JSON if it is asked for, else lines."""
    if args.json:
        print(json.dumps(data, ensure_ascii=False))
    else:
        print("\n".join(lines()))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Lines of a table with aligned columns."""
    cells = [tuple(head), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def _events_table(events: Iterable[Event]) -> list[str]:
    rows = []
    for e in events:
        tasks = " ".join(f"{m.task_id}/{m.attempt}" for m in e.tasks[:3])
        more = f" and {len(e.tasks) - 3} more" if len(e.tasks) > 3 else ""
        at = datetime.fromtimestamp(e.at_ms / 1000).strftime("%H:%M:%S.%f")[:-3]
        rows.append(
            (at, e.verb, tasks + more, e.worker, " ".join(filter(None, (e.state, e.reason))))
        )
    return table(("time", "verb", "tasks/attempt", "worker", "what"), rows)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


COMMANDS: dict[str, tuple[Callable[[Args], int], str]] = {
    "tasks": (_tasks, "list tasks"),
    "task": (_task, "show one task and its timeline"),
    "queues": (_queues, "list queues"),
    "workers": (_workers, "list workers"),
    "events": (_events, "list the last events"),
    "check": (_check, "check that every task is where its state says"),
}
