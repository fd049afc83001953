"""Stack: Redis, the API and workers, launched and supervised from a notebook, a script or a shell.

    with Stack(workers=2) as stack:
        stack.http.post("/task", json={"name": "sleep", "args": [0.1]})
        stack.scale(8)
        stack.kill_worker(1)

Every process is supervised (supervisor.py): none outlives this one. Logs go to files in
`stack.directory`, which is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import httpx

from miniqueue.classroom import shows
from miniqueue.classroom.cells import rerun
from miniqueue.classroom.faults import listen
from miniqueue.classroom.newest import PREFIX, tell
from miniqueue.classroom.reach import answers, chosen, empty, healthy, its_own
from miniqueue.classroom.service import (
    Service,
    Services,
    free_port,
    redis_command,
    retire,
    wait_until,
)
from miniqueue.errors import StackError
from miniqueue.faults import ASK
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.redis_client import connect
from miniqueue.settings import Settings
from miniqueue.views import Event

__all__ = ["Stack"]

STOPPED = "this stack has been stopped: run its start cell, `stack = Stack(...)`, again"


class Stack:
    """A whole system in your hands; it answers when `Stack(...)` returns.

    Uses the Redis of MINIQUEUE_REDIS_URL or REDIS_URL if one is set (in a namespace of its own,
    which is emptied at the end), else launches one. With `settings` nothing is chosen for you:
    that Redis is launched only where its URL is empty, and its namespace is used as it is. A Redis
    that is launched keeps nothing when it stops, unless `redis_options` says so:
    {"appendonly": "yes", "appendfsync": "always"}. The dashboard has buttons that kill and freeze
    workers unless `faults` is False. In a notebook, a cell `stack = Stack(...)` that is run again
    first stops the stack of that name. Raises StackError, with the end of the log, for a service
    that does not come up, and for whatever is asked of a stack that has been stopped.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        settings: Settings | None = None,
        imports: Sequence[str] = (),
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        redis_options: Mapping[str, str] | None = None,
        faults: bool = True,
    ) -> None:
        if isinstance(before := rerun(), Stack) and before.running:
            before.stop()
            print("the stack that ran before has been stopped")
        self._temporary = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.directory = Path(self._temporary.name)
        self.imports = tuple(imports)
        self.workers: list[Service] = []
        self._extra = dict(environ or {})
        self._python_path = self._extra.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        self._leaving: list[Service] = []
        self._redis_options = dict(redis_options or {})
        self._services = Services(self.directory)
        self._cleanup: list[Callable[[], object]] = []
        self._end = weakref.finalize(self, self._services.end, self._cleanup, self._temporary)
        self._made = 0
        if faults:
            self._extra[ASK] = listen(weakref.ref(self), self._cleanup)
        try:
            self.redis: Service | None = None
            self.settings = self._with_redis(settings)
            self._queue = Queue(settings=self.settings)
            self._cleanup.append(self._queue.client.close)
            self._inspector = Inspector(self._queue)
            self.url = f"http://{self.settings.host}:{port or free_port()}"
            self.api = self._launch("api", self._api_command())
            self.scale(workers)
            wait_until(lambda: healthy(self.url), self.api)
            self._http = httpx.Client(base_url=self.url, timeout=30)
            self._cleanup += [self._http.close, tell(self.directory, self.url)]
            shows.install()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        if not self._end.alive:
            return "<Stack, stopped>"
        count = sum(worker.running for worker in self.workers)
        return f"<Stack: Redis, API and {count} worker{'' if count == 1 else 's'}>"

    def _repr_html_(self) -> str:
        """In a notebook: the same, with links to its pages, and the dashboard to unfold."""
        return shows.stack_as_html(repr(self).strip("<>"), self.url if self.running else "")

    @property
    def running(self) -> bool:
        """Whether it has not been stopped."""
        return self._end.alive

    @property
    def queue(self) -> Queue:
        """The queue that the workers work on."""
        self._must_run()
        return self._queue

    @property
    def inspector(self) -> Inspector:
        """Looks into that queue."""
        self._must_run()
        return self._inspector

    @property
    def http(self) -> httpx.Client:
        """A client of the API."""
        self._must_run()
        return self._http

    def stop(self) -> None:
        """End everything, workers first; safe to call twice."""
        self._end()

    def _must_run(self) -> None:
        if not self.running:
            raise StackError(STOPPED)

    # -- workers ---------------------------------------------------------------------------------

    def scale(self, count: int, *, settings: Settings | None = None) -> None:
        """Have `count` workers, by starting new ones or stopping the last ones gracefully.

        New ones work with `settings` where given: `stack.settings.but(lease_s=8.0)`.
        """
        self._must_run()
        if not 0 <= count <= 256:
            raise StackError(f"cannot run {count} workers: say 0 to 256")
        ended = [w for w in self.workers if not w.running]
        living = [w for w in self.workers if w.running]
        self.workers = living[:count]
        self._services.forget(*ended, *living[count:])
        while len(self.workers) < count:
            self.workers.append(self._start_worker(settings))
        self._await_workers(self.workers[len(living) :])

    def replace_dead(self) -> list[Service]:
        """Start a worker for each one that has ended, without waiting; gives the ended ones."""
        self._must_run()
        dead = [worker for worker in self.workers if not worker.running]
        for worker in dead:
            self._services.forget(worker)
            self.workers[self.workers.index(worker)] = self._start_worker()
        return dead

    def define(self, module: str, text: str) -> None:
        """Give the workers a module of task functions, or another text for it.

        They are replaced: new ones start, the old ones finish what they run and end; when this
        returns none of them takes another task. Raises StackError, and changes nothing, if the new
        ones cannot import it.
        """
        self._must_run()
        file = self.directory / f"{module}.py"
        known = file.read_text(encoding="utf-8") if file.exists() else ""
        imports, workers = self.imports, self.workers
        file.write_text(text, encoding="utf-8")
        self.imports = tuple(dict.fromkeys([*imports, module]))
        paths = filter(None, (str(self.directory), self._python_path))
        self._extra["PYTHONPATH"] = os.pathsep.join(paths)
        try:
            self.workers = []
            for _ in workers:
                self.workers.append(self._start_worker())
            self._await_workers(self.workers)
        except (StackError, KeyboardInterrupt):
            file.write_text(known, encoding="utf-8")
            self.workers, failed, self.imports = workers, self.workers, imports
            self._services.forget(*failed)
            raise
        self._services.forget(*(w for w in self._leaving if not w.running))
        self._leaving = [*(w for w in self._leaving if w.running), *workers]
        with contextlib.suppress(KeyboardInterrupt):  # they are on their way out: nothing to stop
            retire(workers)

    def kill_worker(self, index: int = 0) -> str:
        """SIGKILL: no goodbye, its tasks wait for their leases to run out. Gives its name."""
        self._worker(index).kill()
        return self._worker(index).name

    def freeze_worker(self, index: int = 0) -> str:
        """SIGSTOP: it stands still, and does not know it, until thaw_worker()."""
        self._worker(index).signal(signal.SIGSTOP)
        return self._worker(index).name

    def thaw_worker(self, index: int = 0) -> str:
        """SIGCONT: it goes on as if nothing had happened."""
        self._worker(index).signal(signal.SIGCONT)
        return self._worker(index).name

    def run(self, name: str, code: str, *words: str) -> Service:
        """A process of your own beside the others: Python code, with this Redis in its environment.

        It is supervised like them. `kill()` is SIGKILL, `tail()` gives what it printed.
        """
        self._must_run()
        file = self.directory / f"{name}.py"
        file.write_text(code, encoding="utf-8")
        return self._launch(name, [sys.executable, str(file), *words])

    # -- Redis and the API -----------------------------------------------------------------------

    def kill_redis(self) -> None:
        """SIGKILL. What it keeps is a matter of `redis_options`: by default, nothing."""
        redis = self._own_redis()
        redis.kill()
        self._services.forget(redis)

    def start_redis(self) -> None:
        """Start it again after kill_redis(): same port, same folder; returns when it answers."""
        if not self._own_redis().running:
            self._launch_redis(self.settings)

    def kill_api(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        self._must_run()
        self.api.kill()
        self._services.forget(self.api)

    def start_api(self) -> None:
        """Start it again after kill_api(): same address; returns when it answers."""
        self._must_run()
        if not self.api.running:
            self.api = self._launch("api", self._api_command())
        wait_until(lambda: healthy(self.url), self.api)

    @contextlib.contextmanager
    def redis_paused(self) -> Iterator[None]:
        """Redis, where the stack runs it, stands still (SIGSTOP) inside the with block."""
        redis = self._own_redis()
        redis.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            redis.signal(signal.SIGCONT)

    def _own_redis(self) -> Service:
        self._must_run()
        if self.redis is None:
            raise StackError("this Redis was not launched by the stack: stop and start it yourself")
        return self.redis

    def events(self, limit: int = 1000) -> list[Event]:
        """The last events of the queue, in order."""
        return self.inspector.events(limit=limit)

    # -- launching -------------------------------------------------------------------------------

    def _with_redis(self, settings: Settings | None) -> Settings:
        given = chosen(settings)
        if given.redis_url:
            if its_own(given):
                self._cleanup.append(lambda: empty(given))
            return given
        for _ in range(3):  # another program may take the port between the look and the launch
            port = self._redis_port = free_port()
            launched = replace(given, redis_url=f"redis://127.0.0.1:{port}/0")
            try:
                self._launch_redis(launched)
                return launched
            except StackError as error:
                failure = error
        raise failure

    def _launch_redis(self, settings: Settings) -> None:
        command = redis_command(self._redis_port, self.directory, options=self._redis_options)
        self.redis = self._launch("redis", command)
        client = connect(settings)
        try:
            # A failed connection of redis-py leaves a reference cycle with the frames that asked,
            # `self` among them: a stack that is dropped would live until the next collection.
            self.redis.listen(self._redis_port)
            wait_until(lambda: answers(client), self.redis)
        finally:
            client.close()

    def _api_command(self) -> list[str]:
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return [*_MINIQUEUE, "api", "--host", host, "--port", port, *self._import_words()]

    def _worker_command(self, name: str) -> list[str]:
        return [*_MINIQUEUE, "worker", "--name", name, *self._import_words()]

    def _start_worker(self, settings: Settings | None = None) -> Service:
        name = f"w{self._made}"
        self._made += 1
        return self._launch(name, self._worker_command(name), settings)

    def _await_workers(self, new: Sequence[Service]) -> None:
        names = {worker.name for worker in new}
        wait_until(lambda: names <= {w.id for w in self._inspector.workers()}, *new)

    def _launch(self, name: str, command: list[str], settings: Settings | None = None) -> Service:
        used = settings or (self.settings if hasattr(self, "settings") else Settings())
        environ = {**os.environ, **self._extra}
        if name != "redis":
            environ |= used.environ()
        return self._services.launch(name, command, environ=environ, grace_s=used.grace_s + 2)

    def _import_words(self) -> list[str]:
        return [word for module in self.imports for word in ("--import", module)]

    def _worker(self, index: int) -> Service:
        self._must_run()
        if not 0 <= index < len(self.workers):
            count = len(self.workers)
            raise StackError(f"there is no worker {index}: there are {count}, counted from 0")
        return self.workers[index]


_MINIQUEUE = [sys.executable, "-m", "miniqueue"]
