"""HTTP: how much of what FastAPI can do is left when each request is a task in Redis.

    python benchmarks/http_api.py --connections 16 --seconds 2 --rounds 5
    python benchmarks/http_api.py --quick                                   the short version

Two servers, each one uvicorn process, started alike and without an access log: miniqueue's API, and
bare routes with the same bodies and the same replies that do nothing (drivers/bare_app.py). This
process is the client: keep-alive connections, each of which sends its next request when the last is
answered, and refuses any status but the right one. Measured in turn: POST /task, POST /tasks with a
thousand tasks, GET /task/{id}. What was accepted is counted in Redis afterwards. CPU microseconds
are those of the server's process and of Redis. Writes http_api.json and http_api.png.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from driver import loop_run
from http_client import Refused, load
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from miniqueue import Queue
from miniqueue.classroom.service import Service, free_port, listens
from miniqueue.errors import MiniQueueError
from miniqueue.functions import add
from miniqueue.protocol.keys import QueueKeys

FIGURES = {
    "rate": "tasks a second",
    "p50_ms": "a request, p50, ms",
    "p99_ms": "a request, p99, ms",
    "server_us": "CPU us a task, uvicorn",
    "redis_us": "CPU us a task, Redis",
    "client_us": "CPU us a task, client",
}
GOAL = 0.8  # of the bare route's rate, at POST /task
BULK = 1000
WARM_S = 0.2
OURS, BARE = "miniqueue", "bare"
COLOURS = {OURS: "#d1495b", BARE: "#30638e", "Redis": "#edae49"}
TASK = {"name": "add", "args": [2, 3]}


@dataclass(frozen=True, slots=True)
class Route:
    """What is asked; `tasks` are carried by one request."""

    name: str
    status: int
    tasks: int = 1

    def request(self, task_id: str) -> bytes:
        method, path = self.name.split()
        body = b""
        if method == "POST":
            body = json.dumps(TASK if self.tasks == 1 else {"tasks": [TASK] * self.tasks}).encode()
        head = (
            f"{method} {path.format(id=task_id)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


POST = Route("POST /task", 202)
POSTS = Route("POST /tasks", 202, BULK)
ROUTES = (POST, POSTS, Route("GET /task/{id}", 200))


@dataclass(frozen=True, slots=True)
class Api:
    """A running server, and the Redis behind it, which the bare one leaves alone."""

    name: str
    port: int
    pid: int
    redis: harness.Server


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. Rates and microseconds are by task, milliseconds by request."""

    route: str
    server: str
    rate: float
    p50_ms: float
    p99_ms: float
    server_us: float
    redis_us: float
    client_us: float
    busy: float  # the share of the time in which the server's process computed


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    try:
        with harness.server() as server, apis(server) as both:
            found = compare(both, args, console)
    except MiniQueueError as error:
        print(f"http_api.py: {error}", file=sys.stderr)
        return 1
    console.print(table(found, args))
    for line in remarks(found):
        console.print(line, highlight=False)
    console.print(f"wrote {harness.save(args.out, 'http_api', told_of(found, args))}")
    console.print(f"wrote {draw(found, args.out)}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__, rounds=5)
    what = "keep-alive connections, each with one request on its way"
    harness.number(made, "--connections", 1, 500, 16, what)
    harness.number(made, "--seconds", 1, 30, 2, "of each measurement, of which a round has six")
    return harness.parsed(made, argv, "one round of one second each", seconds=1)


# -- the servers -----------------------------------------------------------------------------------


@contextlib.contextmanager
def apis(server: harness.Server) -> Iterator[list[Api]]:
    """Both servers, with whatever event loop and parser uvicorn finds, for the block's length."""
    python = [sys.executable, "-m"]
    bare = [*python, "uvicorn", "bare_app:app", "--no-access-log"]
    with (
        serving(server, OURS, [*python, "miniqueue", "api"]) as first,
        serving(server, BARE, bare) as second,
    ):
        yield [first, second]


@contextlib.contextmanager
def serving(server: harness.Server, name: str, command: Sequence[str]) -> Iterator[Api]:
    """One server; the command is told its port. Raises StackError, with its words, if it ends."""
    port = free_port()
    environ = {"MINIQUEUE_MAX_QUEUED": "100000000", "MINIQUEUE_API_TOKEN": ""}
    with server.processes([*command, "--port", str(port)], environ=environ) as (service,):
        wait_for(service, port)
        yield Api(name, port, service.pid, server)


def wait_for(service: Service, port: int) -> None:
    def up() -> bool:
        service.check()
        return listens(port)

    harness.until(up, f"port {port} answers")


# -- measuring -------------------------------------------------------------------------------------


def compare(both: Sequence[Api], args: argparse.Namespace, console: Console) -> list[Sample]:
    """A short one of each, which does not count; then the rounds."""
    contenders = {f"{r.name}, {api.name}": (api, r) for r in ROUTES for api in both}
    for api, route in contenders.values():
        measure(api, route, args.connections, WARM_S)
    turns = harness.in_turn(contenders, args.rounds, console)
    return [measure(api, route, args.connections, args.seconds) for api, route in turns]


def measure(api: Api, route: Route, connections: int, seconds: float) -> Sample:
    """Empty Redis, ask for so long, count what was accepted. SystemExit for a wrong answer."""
    ids = prepare(api.redis, connections)
    requests = [route.request(task_id) for task_id in ids]
    before = cpu(api)
    try:
        took_s, ms = loop_run(load(api.port, requests, route.status, seconds))
    except (OSError, Refused, TimeoutError) as error:
        raise SystemExit(f"http_api.py: {api.name}, {route.name}: {error!r}") from None
    server_s, redis_s, client_s = (b - a for a, b in zip(before, cpu(api), strict=True))
    sent = len(ms) * route.tasks
    if api.name != BARE and route.status == 202 and kept(api.redis) != sent + len(ids):
        raise SystemExit(f"http_api.py: {sent} tasks were accepted, {kept(api.redis)} are queued")
    return Sample(
        route=route.name,
        server=api.name,
        rate=sent / took_s,
        p50_ms=harness.quantile(ms, 0.5),
        p99_ms=harness.quantile(ms, 0.99),
        server_us=server_s * 1e6 / sent,
        redis_us=redis_s * 1e6 / sent,
        client_us=client_s * 1e6 / sent,
        busy=server_s / took_s,
    )


def prepare(server: harness.Server, count: int) -> list[str]:
    """A Redis with so many tasks in it; their ids."""
    server.empty()
    queue = Queue(settings=server.settings)
    with contextlib.closing(queue.client):
        return [handle.id for handle in queue.enqueue_many(add, [(2, 3)] * count)]


def kept(server: harness.Server) -> int:
    keys = QueueKeys(server.settings.namespace, server.settings.queue)
    return sum(int(str(server.raw.llen(key))) for key in keys.ready)


def cpu(api: Api) -> tuple[float, float, float]:
    """CPU seconds of the server, of Redis (none for the bare routes) and of this client."""
    redis_s = api.redis.cpu_s() if api.name != BARE else 0.0
    return harness.cpu_s(api.pid), redis_s, time.process_time()


# -- telling ---------------------------------------------------------------------------------------


def values(found: Sequence[Sample], route: Route, server: str, figure: str) -> list[float]:
    return [getattr(s, figure) for s in found if (s.route, s.server) == (route.name, server)]


def ratios(found: Sequence[Sample], route: Route, figure: str = "rate") -> list[float]:
    """Of each round: ours by the bare route's."""
    pairs = zip(*(values(found, route, server, figure) for server in (OURS, BARE)), strict=True)
    return [ours / bare for ours, bare in pairs]


def told_of(found: Sequence[Sample], args: argparse.Namespace) -> dict[str, Any]:
    told: dict[str, Any] = {"connections": args.connections, "seconds": args.seconds, "goal": GOAL}
    for route in ROUTES:
        told[route.name] = {
            server: {f: harness.middle(values(found, route, server, f)) for f in FIGURES}
            for server in (OURS, BARE)
        }
        told[route.name]["ratio"] = {
            f: harness.middle(ratios(found, route, f)) for f in FIGURES if f != "redis_us"
        }
    return told | {"samples": [asdict(s) for s in found]}


def table(found: Sequence[Sample], args: argparse.Namespace) -> Table:
    title = f"{args.connections} connections to one uvicorn process\nmedian, lowest to highest"
    shown = Table(title=title, box=box.SIMPLE)
    for name in ("", OURS, BARE, "ratio"):
        shown.add_column(name, justify="right" if name else "left", no_wrap=True)
    for route in ROUTES:
        for figure, words in FIGURES.items():
            cells = [harness.cell(values(found, route, OURS, figure)), "-", "-"]
            if figure != "redis_us":
                cells[1] = harness.cell(values(found, route, BARE, figure))
                cells[2] = harness.cell(ratios(found, route, figure))
            name = f"[bold]{route.name}[/]\n{words}" if figure == "rate" else words
            lead = "\n" if figure == "rate" else ""
            shown.add_row(name, *(lead + text for text in cells))
        shown.add_section()
    return shown


def remarks(found: Sequence[Sample]) -> list[str]:
    """The goal, and whether the figures are those of the servers."""
    share = statistics.median(ratios(found, POST))
    verdict = "reached" if share >= GOAL else "missed"
    said = [f"{POST.name}: {share:.2f} of the bare route; the goal, {GOAL}, is {verdict}."]
    busy = statistics.median(s.busy for s in found)
    if busy < 0.9:
        said.append(
            f"The servers computed only {busy:.0%} of the time, else waited for Redis, the client "
            "or a core that others had: here CPU time tells more than rates."
        )
    return said


def draw(found: Sequence[Sample], out: Path) -> Path:
    """A panel a route with both rates, and one with the CPU time of a POST /task."""
    figure = Figure(figsize=(12, 4.2))
    axes = figure.subplots(1, len(ROUTES) + 1)
    for axis, route in zip(axes, ROUTES, strict=False):
        draw_rates(axis, found, route)
    draw_cpu(axes[-1], found)
    for axis in axes:
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.tick_params(labelsize=8)
    share = statistics.median(ratios(found, POST))
    figure.suptitle(
        f"POST /task: {share:.2f} of the rate of a bare route, and the task is in Redis"
    )
    figure.tight_layout()
    return harness.picture(figure, out, "http_api")


def draw_rates(axis: Any, found: Sequence[Sample], route: Route) -> None:
    for server in (OURS, BARE):
        rate = harness.middle(values(found, route, server, "rate"))
        middle = rate["median"]
        spread = [[middle - rate["low"]], [rate["high"] - middle]]
        axis.bar(server, middle, color=COLOURS[server], yerr=spread, width=0.6)
        axis.text(server, middle / 2, f"{middle:,.0f}", ha="center", color="white")
    share = statistics.median(ratios(found, route))
    unit = "requests a second" if route.tasks == 1 else f"tasks a second, {route.tasks} a request"
    axis.set_title(f"{route.name}: {share:.2f} of bare\n{unit}", fontsize=9)


def draw_cpu(axis: Any, found: Sequence[Sample]) -> None:
    for server in (OURS, BARE):
        uvicorn = statistics.median(values(found, POST, server, "server_us"))
        behind = statistics.median(values(found, POST, server, "redis_us"))
        axis.bar(server, uvicorn, color=COLOURS[server], width=0.6)
        axis.bar(server, behind, bottom=uvicorn, color=COLOURS["Redis"], width=0.6)
        axis.text(server, uvicorn / 2, f"uvicorn\n{uvicorn:,.0f}", ha="center", color="white")
        if behind:
            axis.text(
                server, uvicorn + behind / 2, f"Redis {behind:,.0f}", ha="center", va="center"
            )
    axis.set_title(f"{POST.name}\nCPU microseconds a request", fontsize=9)


if __name__ == "__main__":
    sys.exit(main())
