"""The commands that need the classroom: they launch, show and break a whole system.

Each imports what it needs when it runs, so that `miniqueue worker` does not pay for it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from miniqueue.errors import ConfigError
from miniqueue.settings import Settings
from miniqueue.worker import add_import

__all__ = ["CLASS", "CLASSROOM", "add_class", "add_options"]

Args = argparse.Namespace


def _up(args: Args) -> int:
    from miniqueue.classroom.autoscale import Bounds
    from miniqueue.classroom.up import up

    if args.autoscale is None:
        bounds = Bounds.fixed(2 if args.workers is None else args.workers)
    elif args.workers is None:
        bounds = Bounds.parse(args.autoscale)
    else:
        raise ConfigError("--workers fixes the number and --autoscale changes it: say one of them")
    settings = Settings.from_env().but(port=args.port)
    return up(settings, bounds=bounds, imports=args.modules, faults=args.classroom)


def _demo(args: Args) -> int:
    from miniqueue.classroom.demo import demo

    return demo(args.out)


def _chaos(args: Args) -> int:
    from miniqueue.classroom.chaos.report import chaos

    return chaos(
        args.size, seed=args.seed, faults=args.fault or (), persistence=args.persistence,
        plant=args.plant, out=args.out,
    )  # fmt: skip


def _xray(args: Args) -> int:
    from miniqueue.classroom.xray import xray_of

    print(xray_of(args.operation))
    return 0


def _redis(args: Args) -> int:
    import tempfile
    from pathlib import Path

    from miniqueue.classroom.service import redis_command

    command = redis_command(args.port, Path(tempfile.gettempdir()))
    print(
        f"redis://127.0.0.1:{args.port}/0 (nothing is kept when it stops; Ctrl-C stops it)",
        flush=True,
    )
    os.execv(command[0], command)


def _lab(args: Args) -> int:
    from pathlib import Path

    from miniqueue.classroom import labs

    if args.action == "list":
        for number, title, points in labs.titles():
            print(f"{number}  {title} ({points} points)")
        return 0
    if args.number is None:
        raise ConfigError(f"say which lab: miniqueue lab {args.action} 01")
    if args.action == "start":
        notebook = labs.start(args.number, Path(args.file or "."))
        print(f"{notebook}\nopen it:  jupyter lab {notebook}")
        print(f"judge it: miniqueue lab check {args.number}")
        return 0
    report = labs.check_file(args.number, args.file and Path(args.file), seed=args.seed)
    print(json.dumps(report.as_dict()) if args.json else report)
    return 0 if report else 1


def _class_new(args: Args) -> int:
    from pathlib import Path

    from miniqueue.classroom.students import LIMITS, as_csv, new_class

    settings = Settings.from_env()
    told = {"max_queued": args.max_queued, "max_requests_s": args.requests_s}
    limits = {**LIMITS, **{name: value for name, value in told.items() if value is not None}}
    found, sheet = new_class(args.name, args.students, settings, limits)
    file = Path(args.out) / f"{found.name}.class.json"
    found.save(file)
    print(as_csv(sheet), end="")
    hint = (
        f"{file} has hashes and limits; the tokens above are shown once, so keep them\n"
        f"  miniqueue class redis {file} | valkey-cli   # Redis' users (or redis-cli)\n"
        f"  miniqueue class serve {file}                # the API and dashboard of all students\n"
        f"  MINIQUEUE_REDIS_URL=... MINIQUEUE_NAMESPACE={sheet[0].student} miniqueue worker"
    )
    print(hint, file=sys.stderr)
    return 0


def _class_serve(args: Args) -> int:
    from pathlib import Path

    import uvicorn

    from miniqueue.classroom.door import FILE
    from miniqueue.classroom.students import Class
    from miniqueue.logs import uvicorn_config

    settings = Settings.from_env().but(host=args.host, port=args.port)
    modules = (*settings.modules, *args.modules)
    Class.load(Path(args.file))  # what is wrong with it is better said here
    os.environ.update(settings.but(imports=",".join(modules)).environ() | {FILE: args.file})
    uvicorn.run(
        "miniqueue.classroom.door:create_door", factory=True, host=settings.host,
        port=settings.port, access_log=False, log_config=uvicorn_config(settings),
    )  # fmt: skip
    return 0


def _class_redis(args: Args) -> int:
    from pathlib import Path

    from miniqueue.classroom.students import Class, redis_users

    print("\n".join(redis_users(Class.load(Path(args.file)))))
    return 0


CLASS: dict[str, tuple[Callable[[Args], int], str]] = {
    "new": (_class_new, "make a class file, and print its token sheet as CSV, once"),
    "serve": (_class_serve, "run one API for a class: each token opens its student's namespace"),
    "redis": (_class_redis, "print commands that give each student a Redis user of its own"),
}
CLASSROOM: dict[str, tuple[Callable[[Args], int], str]] = {
    "demo": (_demo, "run the whole system at 1, 2, 4 and 8 workers and chart it"),
    "up": (_up, "run Redis (unless one is set), the API and workers until Ctrl-C"),
    "redis": (_redis, "run the Redis or Valkey server that is at hand"),
    "xray": (_xray, "show what an operation does inside Redis: commands, keys before and after"),
    "lab": (_lab, "list the labs, start one, check an answer"),
    "chaos": (_chaos, "prove that nothing is lost: a workload, faults, a check of all of it"),
}


def add_class(parsers: Mapping[str, Any]) -> None:
    """The options of `miniqueue class ...`."""
    new, serve = parsers["new"], parsers["serve"]
    new.add_argument("--students", type=int, required=True, metavar="N", help="how many")
    new.add_argument("--name", default="class", help="first part of their names (default: class)")
    new.add_argument("--out", default=".", metavar="DIR", help="where NAME.class.json goes")
    new.add_argument("--max-queued", type=int, metavar="N", help="tasks that may wait (1000)")
    new.add_argument("--requests-s", type=float, metavar="N", help="requests a second (50)")
    for parser in (serve, parsers["redis"]):
        parser.add_argument("file", metavar="FILE", help="the class file")
    serve.add_argument("--host", help="address to bind (MINIQUEUE_HOST)")
    serve.add_argument("--port", type=int, help="port to bind (MINIQUEUE_PORT)")
    add_import(serve)


def add_options(parsers: Mapping[str, Any]) -> None:
    """The options of these commands."""
    parsers["demo"].add_argument("--out", default="out", help="folder for the chart (default: out)")
    up = parsers["up"]
    up.add_argument("--workers", type=int, help="worker processes (default: 2)")
    up.add_argument(
        "--autoscale", metavar="LOW:HIGH",
        help="let their number follow the load, like 1:8: arrivals a second times seconds a task",
    )  # fmt: skip
    up.add_argument(
        "--classroom", action="store_true", help="the dashboard has buttons that kill workers"
    )
    up.add_argument("--port", type=int, help="port of the API (default: MINIQUEUE_PORT or 8000)")
    add_import(up)
    parsers["redis"].add_argument("--port", type=int, default=6379, help="its port (default: 6379)")
    parsers["xray"].add_argument("operation", metavar="OPERATION", help="like claim or reclaim")
    _add_chaos(parsers["chaos"])
    _add_lab(parsers["lab"])


def _add_lab(parser: Any) -> None:
    parser.add_argument("action", choices=("list", "start", "check"))
    parser.add_argument("number", nargs="?", metavar="NN", help="of the lab, like 01")
    parser.add_argument(
        "file", nargs="?", metavar="FILE",
        help="check: the notebook or .py file with the answer (default: the notebook that start "
        "made here); start: the folder to make it in (default: this one)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="other tasks (default: 0)")
    parser.add_argument("--json", action="store_true", help="check: the report as JSON")


def _add_chaos(parser: Any) -> None:
    parser.add_argument(
        "--size", default="smoke",
        help="smoke: 2,000 tasks, 28 s of faults (default); standard: 50,000, 180 s; "
        "long: a million, 20 standard runs",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="of tasks and faults; default: a new one")
    parser.add_argument(
        "--fault", action="append", metavar="NAME",
        help="only this one (repeatable); all but eviction by default: kill, failpoints, freeze, "
        "stop, api, restart, pause, power, hang-up, schedulers, clock, poison, eviction",
    )  # fmt: skip
    parser.add_argument(
        "--persistence", default="always", help="of Redis: none, everysec or always (default)"
    )
    parser.add_argument(
        "--plant", default="", metavar="NAME",
        help="plant a fault to see that the check can fail: sketch (the first sketch of this "
        "system) or one in the protocol, see docs/reliability.md",
    )  # fmt: skip
    parser.add_argument("--out", default="out", help="folder for the history (default: out)")
