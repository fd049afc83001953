"""Observer: where the bodies of tasks say what they do, before they do anything more.

A task tells over a socket and waits for the answer, so what it told is known even if its process is
killed in the next instant. An effect goes to a SQLite file, twice: into a table that takes all, and
into one that refuses a writer whose fence is not newer than the last one.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import sqlite3
import threading
from pathlib import Path
from typing import Any, cast

from miniqueue.classroom.chaos.history import History

__all__ = ["Observer", "Sink"]

SCHEMA = """
CREATE TABLE effects (key TEXT, fence INTEGER, worker TEXT);
CREATE TABLE fenced (key TEXT PRIMARY KEY, fence INTEGER, worker TEXT);
"""
WRITE = """
INSERT INTO fenced VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE
SET fence = excluded.fence, worker = excluded.worker WHERE excluded.fence > fenced.fence
"""


class Sink:
    """The outside world: what tasks have done to it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)

    def write(self, key: str, fence: int, worker: str) -> bool:
        """An effect; gives whether the fenced table has taken it."""
        with self._lock:
            self._base.execute("INSERT INTO effects VALUES (?, ?, ?)", (key, fence, worker))
            return self._base.execute(WRITE, (key, fence, worker)).rowcount == 1

    def effects(self) -> dict[str, list[int]]:
        """The fences of all effects, by key, in order."""
        found: dict[str, list[int]] = {}
        with self._lock:
            for key, fence in self._base.execute("SELECT key, fence FROM effects ORDER BY rowid"):
                found.setdefault(key, []).append(fence)
        return found

    def fenced(self) -> dict[str, int]:
        """The fence that the fenced table keeps, by key."""
        with self._lock:
            return dict(self._base.execute("SELECT key, fence FROM fenced").fetchall())

    def close(self) -> None:
        self._base.close()


class Observer:
    """Listens on loopback; `address` is for workers' environment."""

    def __init__(self, history: History, sink: Sink) -> None:
        self.history = history
        self.sink = sink
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.observer = self
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hear(self, told: dict[str, Any]) -> bool:
        """What a task's body tells; for an effect gives whether the fence let it through."""
        kept = True
        if told["what"] == "effect":
            kept = self.sink.write(told["key"], told["attempt"], told["worker"])
        if not kept:
            told["note"] = "refused by the fence"
        self.history.add(**told)
        return kept

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    observer: Observer


class _Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        observer = cast(_Server, self.server).observer
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                if not line.endswith(b"\n"):  # its writer was killed in the middle
                    return
                self.wfile.write(b"1\n" if observer.hear(json.loads(line)) else b"0\n")
