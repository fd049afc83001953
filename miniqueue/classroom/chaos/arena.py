"""Arena: a stack to break, whose Redis can lose its power."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from miniqueue.classroom.chaos.failpoints import FOLDER
from miniqueue.classroom.service import Service
from miniqueue.classroom.stack import Stack
from miniqueue.errors import BackendUnavailable, StackError
from miniqueue.protocol.calls import Call, same
from miniqueue.redis_client import connect
from miniqueue.settings import Settings

__all__ = ["PERSISTENCE", "Arena", "Prober"]

PERSISTENCE: dict[str, dict[str, str]] = {
    "none": {},
    "everysec": {"appendonly": "yes", "appendfsync": "everysec"},
    "always": {"appendonly": "yes", "appendfsync": "always"},
}
JOBS = "miniqueue.classroom.chaos.jobs"  # imported by workers alone: its names are common ones
CREW = [sys.executable, "-m", "miniqueue.classroom.chaos.crew"]
PROBE = "chaos:probe"
LOOK_S = 0.05


class Arena(Stack):
    """A stack of crew.py's workers and API; `failpoints` is the folder in which they are armed."""

    def __init__(
        self,
        workers: int,
        settings: Settings,
        *,
        redis_options: Mapping[str, str],
        environ: Mapping[str, str],
    ) -> None:
        self.lock = threading.RLock()  # of who takes and replaces services
        super().__init__(
            workers,
            settings=settings,
            imports=[JOBS],
            environ=environ,
            redis_options={**redis_options, "auto-aof-rewrite-percentage": "0"},
        )

    @property
    def failpoints(self) -> Path:
        """Where failpoints are armed."""
        return Path(self._extra[FOLDER])

    def dismiss(self) -> None:
        """End all workers, gracefully if they can, so that nothing changes any more."""
        for worker in self.workers:
            worker.ask_to_end()
        for worker in self.workers:
            worker.join()

    def prober(self) -> Prober | None:
        """Who can tell what is on disk; needed where Redis answers before it has fsynced."""
        if self._redis_options.get("appendfsync") != "everysec":
            return None
        prober = Prober(self.settings)
        if prober.start():
            return prober
        raise StackError("this Redis cannot say what is on disk (WAITAOF): use 7.2 or Valkey")

    def cut_file(self, fsynced: int) -> int:
        """Take from the file of a killed Redis what was not fsynced: all behind this probe.

        Killing a process alone loses nothing, since the system still has what it wrote; a power
        cut takes that too. Gives the number of bytes cut.
        """
        file = max((self.directory / "appendonlydir").glob("*.incr.aof"))
        kept = file.read_bytes()
        mark = f"${len(PROBE)}\r\n{PROBE}\r\n${len(str(fsynced))}\r\n{fsynced}\r\n".encode()
        end = kept.rfind(mark)
        if end < 0:
            raise StackError(f"the append-only file has no probe {fsynced}")
        with file.open("r+b") as opened:
            opened.truncate(end + len(mark))
        return len(kept) - end - len(mark)

    def _api_command(self) -> list[str]:
        return self._crew(super()._api_command())

    def _worker_command(self, name: str) -> list[str]:
        return self._crew(super()._worker_command(name))

    def _crew(self, command: list[str]) -> list[str]:
        at = command.index("miniqueue")
        return [*CREW, *command[at + 1 :]]


class Prober:
    """Writes numbers to Redis, and knows which of them Redis itself says is on disk (WAITAOF)."""

    def __init__(self, settings: Settings) -> None:
        self.fsynced = 0
        self._client = connect(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def start(self) -> bool:
        """False where this Redis has no WAITAOF (before 7.2), or no append-only file."""
        try:
            self._write()
        except BackendUnavailable:
            return False
        self._thread.start()
        return True

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def _probe(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._write()
            except BackendUnavailable:
                time.sleep(LOOK_S)

    def _write(self) -> None:
        number = self.fsynced + 1
        self._client.run(Call("SET", (PROBE,), (number,), same))
        local, _ = self._client.run(Call("WAITAOF", (), (1, 0, 3000), list))
        if local:
            self.fsynced = number


def living(arena: Arena) -> list[Service]:
    """Workers whose processes run."""
    return [worker for worker in arena.workers if worker.running]
