"""The command line: `miniqueue COMMAND`. It parses and prints; the rest is done elsewhere."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from miniqueue import __version__
from miniqueue.cli_classroom import CLASS, CLASSROOM, add_class, add_options
from miniqueue.cli_inspect import COMMANDS, inspector, show
from miniqueue.cli_manage import CRON, FAILED, PLAIN
from miniqueue.errors import ConfigError, MiniQueueError, TaskCancelled, TaskFailed
from miniqueue.options import TAKES
from miniqueue.queue import Queue
from miniqueue.settings import Settings
from miniqueue.task import PRIORITIES
from miniqueue.worker import add_arguments, add_import, serve

__all__ = ["build_parser", "main"]

Args = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 for a failure, 2 for wrong usage; errors are one sentence."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except ConfigError as error:
        return _say(error, 2)
    except MiniQueueError as error:
        return _say(error, 1)
    except ImportError as error:
        return _say(
            f"{error}; install what this command needs: pip install 'miniqueue[{args.extra}]'", 1
        )
    except TimeoutError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `miniqueue inspect events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(error: object, code: int) -> int:
    print(f"miniqueue: {error}", file=sys.stderr)
    return code


# -- running ---------------------------------------------------------------------------------------


def _api(args: Args) -> int:
    import uvicorn

    from miniqueue.guard import check_binding
    from miniqueue.logs import uvicorn_config

    settings = Settings.from_env().but(host=args.host, port=args.port)
    modules = (*settings.modules, *args.modules)
    settings = settings.but(imports=",".join(modules))
    check_binding(settings)
    os.environ.update(settings.environ())
    if not args.reload:
        _spare_the_collector()
    uvicorn.run(
        "miniqueue.api:app", host=settings.host, port=settings.port, reload=args.reload,
        access_log=args.access_log, log_level="info", log_config=uvicorn_config(settings),
    )  # fmt: skip
    return 0


def _spare_the_collector() -> None:
    """The requests of one turn hold more objects than Python's first threshold of 700, so that each
    turn was searched for garbage, and often all that was ever imported with it.
    """
    importlib.import_module("miniqueue.api")
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _worker(args: Args) -> int:
    settings = Settings.from_env().but(queue=args.queue, concurrency=args.concurrency)
    if args.reload:
        from miniqueue.reload import run_reloading

        return run_reloading([word for word in sys.argv[1:] if word != "--reload"])
    serve(Queue(settings=settings), (*settings.modules, *args.modules), args.name)
    return 0


# -- tasks -----------------------------------------------------------------------------------------


def _submit(args: Args) -> int:
    from miniqueue.registry import load_modules

    settings = Settings.from_env()
    load_modules((*settings.modules, *args.modules))
    queue = Queue(args.queue, settings=settings)
    words = [_value(word) for word in args.args]
    options = {
        name: getattr(args, name)
        for name in (
            "priority",
            "delay_s",
            "max_attempts",
            "timeout_s",
            "expires_s",
            "idempotency_key",
            "takes",
            "queue",
        )
        if getattr(args, name) is not None
    }
    if args.after:
        options["after"] = tuple(args.after)
    handle = queue.enqueue_call(args.name, words, {}, options)
    if args.wait is None:
        print(json.dumps({"task_id": handle.id}) if args.json else handle.id)
        return 0
    try:
        print(json.dumps(handle.wait(args.wait)))
    except (TaskFailed, TaskCancelled) as error:
        return _say(error, 1)
    return 0


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def _explain(args: Args) -> int:
    sentences = inspector(args).explain(args.id)
    show(args, sentences, lambda: sentences)
    return 0


def _cancel(args: Args) -> int:
    state = inspector(args).queue.cancel(args.id)
    show(args, {"task_id": args.id, "was": state}, lambda: [f"{args.id} was {state}"])
    return 0


def _retry(args: Args) -> int:
    inspector(args).queue.retry(args.id)
    show(args, {"task_id": args.id, "state": "queued"}, lambda: [f"{args.id} is queued again"])
    return 0


def _doctor(args: Args) -> int:
    from miniqueue.doctor import examine

    findings = examine(Settings.from_env())
    lines = [
        f"{'ok ' if f.ok else 'NO '} {f.what}" + (f"\n    -> {f.fix}" if f.fix else "")
        for f in findings
    ]
    show(args, [asdict(f) for f in findings], lambda: lines)
    return 0 if all(f.ok for f in findings) else 1


# -- parsing ---------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options; docs/command-line.md is made from it."""
    parser = argparse.ArgumentParser(
        prog="miniqueue",
        description="A distributed task queue; MINIQUEUE_* variables set it up (docs/settings.md).",
    )
    parser.add_argument("--version", action="version", version=f"miniqueue {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_running(commands)
    _add_tasks(commands)
    _add_inspect(commands)
    _add_manage(commands)
    doctor = _add(
        commands, "doctor", _doctor, "check Python, packages, Redis and ports; say what to mend"
    )
    _add_json(doctor)
    return parser


def _add_running(commands: Any) -> None:
    rooms = {n: _add(commands, n, run, doc, "classroom") for n, (run, doc) in CLASSROOM.items()}
    add_options(rooms)
    kinds = commands.add_parser("class", help="tokens, users and one API for a class of students")
    whats = kinds.add_subparsers(metavar="WHAT", required=True)
    add_class({n: _add(whats, n, run, doc) for n, (run, doc) in CLASS.items()})
    api = _add(commands, "api", _api, "run the HTTP API")
    api.add_argument("--host", help="address to bind (MINIQUEUE_HOST)")
    api.add_argument("--port", type=int, help="port to bind (MINIQUEUE_PORT)")
    api.add_argument("--reload", action="store_true", help="start anew when the code changes")
    api.add_argument("--access-log", action="store_true", help="log each request")
    worker = _add(commands, "worker", _worker, "run a worker")
    add_arguments(worker)
    worker.add_argument("--reload", action="store_true", help="start anew when the code changes")
    add_import(api)


def _add_tasks(commands: Any) -> None:
    submit = _add(
        commands, "submit", _submit, "send a task; arguments are JSON, or text where they are not"
    )
    submit.add_argument("name", metavar="NAME", help="the task function")
    submit.add_argument("args", metavar="ARG", nargs="*", help="its arguments")
    submit.add_argument("--queue")
    submit.add_argument("--priority", choices=PRIORITIES)
    submit.add_argument("--delay-s", type=float, help="start no sooner than in this time")
    submit.add_argument("--expires-s", type=float, help="do not start it later than in this time")
    submit.add_argument("--timeout-s", type=float, help="the longest that an attempt may run")
    submit.add_argument("--max-attempts", type=int)
    submit.add_argument(
        "--idempotency-key", metavar="KEY", help="send the same key twice, get one task"
    )
    submit.add_argument("--after", metavar="ID", action="append", help="wait for it (repeatable)")
    submit.add_argument("--takes", choices=TAKES, help="what it gets of the tasks before it")
    submit.add_argument(
        "--wait", type=float, metavar="S", help="wait up to S seconds and print the result"
    )
    add_import(submit)
    for name, run, doc in (
        ("explain", _explain, "say in plain sentences why a task waits or ran twice"),
        ("cancel", _cancel, "cancel a task"),
        ("retry", _retry, "queue a failed task again"),
    ):
        parser = _add(commands, name, run, doc)
        parser.add_argument("id", metavar="ID")
        _add_json(parser)
    _add_json(submit)


def _add_inspect(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="look at tasks, queues, workers and events")
    kinds = inspect.add_subparsers(metavar="WHAT", required=True)
    parsers = {name: _add(kinds, name, run, doc) for name, (run, doc) in COMMANDS.items()}
    parsers["tasks"].add_argument("--state", help="only of this state")
    parsers["tasks"].add_argument("--name", help="only of this function")
    parsers["tasks"].add_argument("--cursor", help="go on where a page ended")
    parsers["task"].add_argument("id", metavar="ID")
    parsers["events"].add_argument("--after", metavar="ID", help="only those after this event id")
    for name in ("tasks", "events"):
        parsers[name].add_argument("--limit", type=int, default=50)
    for name in ("tasks", "events", "check"):
        parsers[name].add_argument("--queue", help="of this queue (MINIQUEUE_QUEUE)")
    for parser in parsers.values():
        _add_json(parser)


def _add_manage(commands: Any) -> None:
    plain = {name: _add(commands, name, run, doc) for name, (run, doc) in PLAIN.items()}
    plain["bulk"].add_argument(
        "file", metavar="FILE", help="a file of JSON lines, - for standard input"
    )
    for name in ("logs", "output"):
        plain[name].add_argument("id", metavar="ID")
    plain["output"].add_argument("--timeout-s", type=float, help="give up after this time")
    failed = commands.add_parser("failed", help="list, retry or forget failed tasks")
    kinds = failed.add_subparsers(metavar="WHAT", required=True)
    failing = {name: _add(kinds, name, run, doc) for name, (run, doc) in FAILED.items()}
    for parser in failing.values():
        parser.add_argument("--name", help="only those of this function")
    cron = commands.add_parser("cron", help="list, set or remove schedules")
    kinds = cron.add_subparsers(metavar="WHAT", required=True)
    timed = {name: _add(kinds, name, run, doc) for name, (run, doc) in CRON.items()}
    for name in ("set", "remove"):
        timed[name].add_argument("name", metavar="SCHEDULE")
    timed["set"].add_argument("cron", metavar="CRON", help="like '*/5 * * * *'")
    timed["set"].add_argument("task", metavar="NAME", help="the task function")
    timed["set"].add_argument("values", metavar="ARG", nargs="*", type=_value, help="its arguments")
    timed["set"].add_argument("--timezone", default="UTC", help="like Europe/Berlin (UTC)")
    timed["set"].add_argument("--missed", choices=("once", "skip"), default="once")
    for parser in (
        plain["pause"],
        plain["resume"],
        plain["bulk"],
        *failing.values(),
        *timed.values(),
    ):
        parser.add_argument("--queue", help="of this queue (MINIQUEUE_QUEUE)")
        _add_json(parser)
    _add_json(plain["logs"])


def _add(commands: Any, name: str, run: Callable[[Args], int], doc: str, extra: str = "api") -> Any:
    parser = commands.add_parser(name, help=doc, description=doc[0].upper() + doc[1:] + ".")
    parser.set_defaults(run=run, extra=extra, json=False)
    return parser


def _add_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
