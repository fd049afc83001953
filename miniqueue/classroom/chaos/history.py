"""History: what observers outside the queue have seen, as JSON lines."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["History", "Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """Something that happened; `at` is in seconds since the run began, on one clock for all.

    `what` is of the client (sent, accepted, refused, unknown, cancelled), of a task's body
    (started, effect, raised), of a worker that is up (ready), or of the faults (hired, died, fault,
    frozen, thawed, down, up, stall, uneven, kept).
    """

    at: float
    what: str
    key: str = ""
    id: str = ""
    attempt: int = 0
    worker: str = ""
    note: str = ""

    def __str__(self) -> str:
        words = [self.what, self.key, self.id, f"attempt {self.attempt}" if self.attempt else ""]
        return f"{self.at:8.3f} s  " + "  ".join(w for w in [*words, self.worker, self.note] if w)


class History:
    """Records in the order in which they came; each is in the file before add() returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        self._file = path.open("w")
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._began_ms = time.time() * 1000  # Redis runs on this machine: its clock is ours

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def seconds(self, redis_ms: float) -> float:
        """A time of Redis' clock as seconds since the run began."""
        return (redis_ms - self._began_ms) / 1000

    def add(
        self,
        what: str,
        key: str = "",
        *,
        id: str = "",
        attempt: int = 0,
        worker: str = "",
        note: str = "",
    ) -> Record:
        """Write down what happens now."""
        with self._lock:
            record = Record(round(self.now(), 4), what, key, id, attempt, worker, note)
            self.keep(record)
            told = {name: value for name, value in asdict(record).items() if value or name == "at"}
            self._file.write(json.dumps(told) + "\n")
            self._file.flush()
        return record

    def keep(self, record: Record) -> None:
        """Remember a record, without a line in the file."""
        self.records.append(record)
        self._by_kind[record.what].append(record)

    def count(self, what: str) -> int:
        """How many records of this kind there are so far."""
        return len(self._by_kind[what])

    def of(self, *whats: str) -> list[Record]:
        """The records of these kinds so far, in order."""
        if len(whats) == 1:
            return list(self._by_kind[whats[0]])
        return [record for record in list(self.records) if record.what in whats]

    def close(self) -> None:
        self._file.close()
