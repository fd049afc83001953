"""`miniqueue pause|resume|failed|cron|logs|output`: looking after queues in a terminal."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from miniqueue.cli_inspect import inspector, show, table

__all__ = ["CRON", "FAILED", "PLAIN"]

Args = argparse.Namespace


def _pause(args: Args) -> int:
    changed = inspector(args).queue.pause()
    words = ["paused" if changed else "was paused"]
    show(args, {"paused": True, "changed": changed}, lambda: words)
    return 0


def _resume(args: Args) -> int:
    changed = inspector(args).queue.resume()
    words = ["goes on" if changed else "was not paused"]
    show(args, {"paused": False, "changed": changed}, lambda: words)
    return 0


def _bulk(args: Args) -> int:
    import sys

    from miniqueue.bulk import send_lines

    with open(args.file) if args.file != "-" else contextlib.nullcontext(sys.stdin) as lines:
        ids = send_lines(inspector(args).queue, lines)
    show(args, ids, lambda: ids)
    return 0


def _logs(args: Args) -> int:
    lines = inspector(args).logs(args.id)
    show(args, lines, lambda: lines)
    return 0


def _output(args: Args) -> int:
    for piece in inspector(args).queue.stream(args.id, args.timeout_s):
        print(piece, end="", flush=True)
    print()
    return 0


def _failed_retry(args: Args) -> int:
    from miniqueue.failed import retry_failed

    count = retry_failed(inspector(args).queue, args.name)
    show(args, {"retried": count}, lambda: [f"{count} tasks are queued again"])
    return 0


def _failed_purge(args: Args) -> int:
    from miniqueue.failed import purge_failed

    count = purge_failed(inspector(args).queue, args.name)
    show(args, {"purged": count}, lambda: [f"{count} tasks are forgotten"])
    return 0


def _failed_list(args: Args) -> int:
    tasks = inspector(args).tasks("failed", name=args.name, limit=500).tasks
    rows = [(t.id, t.name, t.attempt, (t.error or {}).get("message", "")[:80]) for t in tasks]
    head = ("task", "name", "attempt", "error")
    show(args, [t.as_dict() for t in tasks], lambda: table(head, rows))
    return 0


def _cron_list(args: Args) -> int:
    from miniqueue.cron import schedules

    found = schedules(inspector(args).queue)
    rows = [
        (s.name, s.expression, s.timezone, s.task.get("name"), _clock(s.next_ms)) for s in found
    ]
    head = ("schedule", "cron", "timezone", "task", "next")
    show(args, [s.as_dict() for s in found], lambda: table(head, rows))
    return 0


def _cron_set(args: Args) -> int:
    import miniqueue.functions  # noqa: F401
    from miniqueue.cron import schedule
    from miniqueue.flow import step

    call = step(args.task, *args.values)
    queue = inspector(args).queue
    made = schedule(queue, args.name, args.cron, call, timezone=args.timezone, missed=args.missed)
    show(args, made.as_dict(), lambda: [f"{made.name}: next at {_clock(made.next_ms)}"])
    return 0


def _cron_remove(args: Args) -> int:
    from miniqueue.cron import unschedule

    removed = unschedule(inspector(args).queue, args.name)
    show(args, {"removed": removed}, lambda: ["removed" if removed else "there was none"])
    return 0 if removed else 1


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


Commands = dict[str, tuple[Callable[[Args], int], str]]
PLAIN: Commands = {
    "pause": (_pause, "let workers claim nothing more of a queue"),
    "resume": (_resume, "let workers claim of a paused queue again"),
    "bulk": (_bulk, "send the tasks of a file: a JSON object a line, like the body of POST /task"),
    "logs": (_logs, "print the log lines kept with a task"),
    "output": (_output, "print what a task emits, as it comes, until it has ended"),
}
FAILED: Commands = {
    "list": (_failed_list, "list failed tasks"),
    "retry": (_failed_retry, "queue failed tasks again"),
    "purge": (_failed_purge, "forget failed tasks"),
}
CRON: Commands = {
    "list": (_cron_list, "list schedules"),
    "set": (_cron_set, "set or replace a schedule"),
    "remove": (_cron_remove, "remove a schedule"),
}
