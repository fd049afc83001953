"""`miniqueue up`: the whole stack in the foreground; workers that die are replaced, and with
`--autoscale` their number follows the load.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from miniqueue.classroom.autoscale import Aims, Autoscaler, Bounds, read
from miniqueue.classroom.stack import Stack
from miniqueue.errors import BackendUnavailable
from miniqueue.guard import check_binding
from miniqueue.settings import Settings

__all__ = ["Scaler", "up"]

SAY = functools.partial(print, flush=True)
LOOK_S = 0.5  # how often dead workers are looked for, and the load is read


def up(
    settings: Settings, *, bounds: Bounds, imports: Sequence[str] = (), faults: bool = False
) -> int:
    """Serve until SIGINT or SIGTERM; `faults`: with fault buttons on the dashboard.

    Raises StackError for a service that does not come up.
    """
    check_binding(settings)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    external = "MINIQUEUE_REDIS_URL" in os.environ or "REDIS_URL" in os.environ
    if not external:
        settings = settings.but(redis_url="")
    modules = (*settings.modules, *imports)
    with Stack(
        bounds.low, settings=settings, imports=modules, port=settings.port, faults=faults
    ) as stack:
        address = "from the environment" if external else stack.settings.redis_url
        count = bounds.low if bounds.low == bounds.high else f"{bounds.low} to {bounds.high}"
        print(f"Redis    {address}")
        print(f"         {stack.http.get('/readyz').json()['durability']['sentence']}")
        print(f"workers  {count}, queue {settings.queue!r}")
        print(f"API      {stack.url}  (the dashboard; routes: {stack.url}/docs)", flush=True)
        scaler = Scaler(stack, bounds)
        while not stop.wait(LOOK_S):
            _look_after(stack)
            if bounds.low < bounds.high:
                scaler.look()
        print("stopping", flush=True)
    return 0


def _look_after(stack: Stack) -> None:
    for worker in stack.replace_dead():
        print(
            f"worker {worker.name} ended with exit code {worker.exit_code}; starting another",
            flush=True,
        )
    for service in (stack.api, stack.redis):
        if service is not None:
            service.check()


class Scaler:
    """The hands of the autoscaler: they read the load, start workers and stop idle ones."""

    def __init__(
        self,
        stack: Stack,
        bounds: Bounds,
        aims: Aims | None = None,
        *,
        say: Callable[[str], object] = SAY,
    ) -> None:
        self._stack = stack
        self._say = say
        self._autoscaler = Autoscaler(bounds, stack.settings.concurrency, aims or Aims())

    def look(self) -> None:
        """Read once, and change the number of workers if it is time; says a line for a change.

        While Redis is away nothing changes, and afterwards the load is measured anew. Raises
        StackError for a worker that does not come up.
        """
        try:
            self._follow()
        except BackendUnavailable:
            self._autoscaler.forget()

    def _follow(self) -> None:
        stack, inspector = self._stack, self._stack.inspector
        now_s, workers = time.monotonic(), inspector.workers()
        reading = read(now_s, inspector.queue_info(stack.settings.queue), workers)
        have = len(stack.workers)
        wanted = self._autoscaler.decide(reading, have)
        if wanted < have:
            idle = {worker.id for worker in workers if worker.alive and not worker.doing}
            stack.workers.sort(key=lambda service: service.name in idle)  # the last ones go
            if stack.workers[-1].name not in idle:
                return  # all are in a task; at the next look one may not be
        if wanted != have:
            self._say(f"workers  {have} -> {wanted}: {self._autoscaler.load}")
            stack.scale(wanted)
