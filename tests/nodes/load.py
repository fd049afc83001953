"""Load with a record: what was accepted and when, what ran, what came of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from miniqueue.errors import BackendUnavailable, TaskNotFound
from miniqueue.queue import Queue
from tests.nodes.jobs import note

PAUSE_S = 0.004  # between two tasks of a sender: some two hundred a second


@dataclass
class Sender:
    """Sends one task after the other, until it is told to stop; `accepted`: mark -> (id, time)."""

    name: str
    send: Callable[[str], str]

    def __post_init__(self) -> None:
        self.accepted: dict[str, tuple[str, float]] = {}
        self.refused: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(PAUSE_S):
            mark, number = f"{self.name}-{number}", number + 1
            try:
                self.accepted[mark] = (self.send(mark), time.monotonic())
            except BackendUnavailable:
                self.refused.append(time.monotonic())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def since(self, moment: float) -> int:
        """How many were accepted after this moment."""
        return sum(at > moment for _, at in list(self.accepted.values()))


def by_python(queue: Queue, diary: Path) -> Callable[[str], str]:
    return lambda mark: queue.enqueue(note, str(diary), mark).id


@dataclass(frozen=True)
class Account:
    """What became of the accepted tasks; `lost`: marks that never ran and are nowhere."""

    accepted: int
    done: int
    lost: list[str]
    twice: list[str]
    waiting: list[str]

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, done {self.done}, lost {len(self.lost)}, "
            f"run twice {len(self.twice)}, still waiting {len(self.waiting)}"
        )


def account(queue: Queue, diary: Path, accepted: dict[str, tuple[str, float]]) -> Account:
    gone, waiting = [], []
    for mark, (task_id, _) in accepted.items():
        try:
            waiting += [mark] if queue.get(task_id).state != "succeeded" else []
        except TaskNotFound:
            gone.append(mark)
    ran = Counter(diary.read_text().split())  # after all that had ended has been seen
    lost = [mark for mark in gone if mark not in ran]
    twice = [mark for mark, times in ran.items() if times > 1]
    done = sum(mark in ran for mark in accepted)
    return Account(len(accepted), done, lost, twice, waiting)


def settled(queue: Queue, diary: Path, accepted: dict[str, tuple[str, float]]) -> Account:
    """The account, once nothing waits any more."""
    end = time.monotonic() + 15
    while (found := account(queue, diary, accepted)).waiting:
        assert time.monotonic() < end, f"{found}; the first: {found.waiting[:3]}"
    return found
