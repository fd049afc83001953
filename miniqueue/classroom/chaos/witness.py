"""Witness: the side of a task's body that tells the observer what it does."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

__all__ = ["ADDRESS", "Witness"]

ADDRESS = "MINIQUEUE_CHAOS_OBSERVER"  # the variable that says where the observer listens


class Witness:
    """One connection a process; threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: Any = None

    def tell(self, what: str, key: str, **more: Any) -> bool:
        """Tell, and wait until it is written down."""
        line = json.dumps({"what": what, "key": key, **more}).encode() + b"\n"
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._connect()
                self._file.write(line)
                self._file.flush()
                answer: bytes = self._file.readline()
            except BaseException:  # interrupted in the middle: the next answer is not for us
                self._file = None
                raise
        if not answer:
            raise ConnectionError("the observer does not listen any more")
        return answer == b"1\n"

    def close(self) -> None:
        """Say nothing more."""
        if self._file is not None:
            self._file.close()

    def _connect(self) -> Any:
        host, port = os.environ[ADDRESS].split(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        with connection:  # its file keeps it open
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection.makefile("rwb")
