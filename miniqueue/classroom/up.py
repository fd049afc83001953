"""`miniqueue up`: the whole stack in the foreground; workers that die are replaced."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence

from miniqueue.classroom.stack import Stack
from miniqueue.errors import ConfigError
from miniqueue.guard import check_binding
from miniqueue.settings import Settings

__all__ = ["up"]

LOOK_S = 0.5  # how often dead workers are looked for


def up(settings: Settings, *, workers: int, imports: Sequence[str] = ()) -> int:
    """Serve until SIGINT or SIGTERM. Raises StackError for a service that does not come up."""
    if not 0 <= workers <= 256:
        raise ConfigError(f"--workers {workers}: say 0 to 256")
    check_binding(settings)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    external = "MINIQUEUE_REDIS_URL" in os.environ or "REDIS_URL" in os.environ
    if not external:
        settings = settings.but(redis_url="")
    modules = (*settings.modules, *imports)
    with Stack(
        workers, settings=settings, imports=modules, port=settings.port, faults=False
    ) as stack:
        address = "from the environment" if external else stack.settings.redis_url
        print(f"Redis    {address}")
        print(f"         {stack.http.get('/readyz').json()['durability']['sentence']}")
        print(f"workers  {workers}, queue {settings.queue!r}")
        print(f"API      {stack.url}  (routes: {stack.url}/docs)", flush=True)
        while not stop.wait(LOOK_S):
            _look_after(stack)
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
