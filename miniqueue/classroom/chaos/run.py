"""A chaos run from beginning to end, and its verdict."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from miniqueue.classroom.chaos.arena import PERSISTENCE, Arena
from miniqueue.classroom.chaos.crew import PLANT, SKEW
from miniqueue.classroom.chaos.evidence import Evidence
from miniqueue.classroom.chaos.failpoints import FOLDER
from miniqueue.classroom.chaos.faults import FAULTS, Faults, known, schedule
from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.load import (
    MIX,
    POISON_ATTEMPTS,
    Clients,
    Item,
    Mix,
    lengthened,
    plan,
    poison,
)
from miniqueue.classroom.chaos.observer import Observer, Sink
from miniqueue.classroom.chaos.schedulers import Schedulers
from miniqueue.classroom.chaos.verdict import Verdict, judge
from miniqueue.classroom.chaos.watch import (
    Watch,
    all_events,
    all_tasks,
    census,
    lasting_keys,
    until,
    waiting,
)
from miniqueue.classroom.chaos.witness import ADDRESS
from miniqueue.classroom.plants import plant
from miniqueue.cron import schedule as set_schedule
from miniqueue.cron import unschedule
from miniqueue.durability import durability
from miniqueue.errors import ConfigError
from miniqueue.flow import step
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.settings import Settings

__all__ = ["DEFAULT_FAULTS", "SIZES", "Chaos", "Size"]

DEFAULT_FAULTS = tuple(name for name in FAULTS if name != "eviction")
ROOM = (600_000, 300)  # bytes of memory, and bytes a task, where Redis is to be full
COSTLY = {"none": {"restart", "power"}, "everysec": {"power"}, "always": set[str]()}
LOOK_S = 0.1
CROWD = 4  # schedulers beside the workers
LONGER_S = 60.0  # after the last task should have been sent
Told = Callable[[History, int], object]


@dataclass(frozen=True, slots=True)
class Size:
    """How much: tasks, seconds of load and faults, workers, lanes of each, the lease, poison tasks,
    the share of tasks that outlive a lease, how long the run waits for the rest at the end, and the
    jobs.
    """

    tasks: int
    seconds: float
    workers: int = 4
    lanes: int = 2
    lease_s: float = 1.5
    poison: int = 10
    long: float = 0.008
    drain_s: float = 25.0
    seeds: int = 1
    mix: Mix = MIX


STANDARD = Size(50_000, 180, workers=6, lanes=3, long=0.002, drain_s=120)
SIZES = {
    "smoke": Size(2_000, 28, poison=5),
    "standard": STANDARD,
    "long": replace(STANDARD, seeds=20),
}


@dataclass(frozen=True)
class Chaos:
    """One run. `faults` are names of FAULTS, `plant` is one of PLANTS.

    Raises ConfigError for a name that does not exist.
    """

    size: Size
    seed: int = 0
    faults: Collection[str] = DEFAULT_FAULTS
    persistence: str = "always"
    plant: str = ""
    folder: Path = Path("out")
    kind: ClassVar[type[Arena]] = Arena

    def __post_init__(self) -> None:
        for name in self.faults:
            if not known(name):
                raise ConfigError(f"no fault is called {name!r}; there are {', '.join(FAULTS)}")
        if self.persistence not in PERSISTENCE:
            raise ConfigError(
                f"persistence {self.persistence!r}: say one of {', '.join(PERSISTENCE)}"
            )
        if self.plant:
            plant(self.plant)

    @property
    def keeps(self) -> bool:
        """Whether Redis keeps all that it has answered for, in this run."""
        return not set(self.faults) & (COSTLY[self.persistence] | {"eviction"})

    def run(self, told: Told = lambda history, injected: None) -> Verdict:
        """Run it; `told` is called a few times a second with the history, and the faults so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        history = History(self.folder / f"chaos-{self.seed}.jsonl")
        with tempfile.TemporaryDirectory(prefix="miniqueue-chaos-") as name:
            sink = Sink(Path(name) / "sink.sqlite")
            observer = Observer(history, sink)
            try:
                with self.arena(self._environ(observer, Path(name))) as arena:
                    return self._on(arena, history, sink, told)
            finally:
                observer.close()
                sink.close()
                history.close()

    def _on(self, arena: Arena, history: History, sink: Sink, told: Told) -> Verdict:
        queue = Queue(settings=arena.settings)
        items = self._items(history.now())
        self.prepare(queue)
        clients = self.clients(arena, queue, history)
        faults = Faults(arena, history, random.Random(f"{self.seed} faults"))
        watch = Watch(arena.settings, history, self.census)
        planned = schedule(self.faults, self.size.seconds, random.Random(f"{self.seed} schedule"))
        crowd = Schedulers(arena.settings, CROWD if "schedulers" in self.faults else 0)
        limit = max(item.at for item in items) + LONGER_S
        try:
            clients.start(items)
            faults.start(planned)
            while not (clients.done and faults.over) and history.now() < limit:
                told(history, faults.injected)
                time.sleep(LOOK_S)
            faults.finish()
            clients.stop()
            left = self.drain(queue, history, lambda: told(history, faults.injected))
        finally:
            clients.stop()
            faults.stop()
            crowd.stop()
            watch.stop()
        crowd.threads.check()
        watch.threads.check()
        arena.dismiss()
        known = Evidence(
            history,
            {item.key: item for item in items},
            queue.settings,
            effects=sink.effects(),
            fenced=sink.fenced(),
            waiting=left,
        )
        verdict = judge(self.evidence(queue, known))
        queue.client.close()
        return verdict

    def _environ(self, observer: Observer, folder: Path) -> dict[str, str]:
        environ = {ADDRESS: observer.address, FOLDER: str(folder)}
        if self.plant:
            environ[PLANT] = self.plant
        if "clock" in self.faults:
            environ[SKEW] = str(self.seed)
        return environ

    def _items(self, began: float) -> list[Item]:
        size, rng = self.size, random.Random(f"{self.seed} items")
        items = plan(size.tasks, size.seconds, rng, size.mix)
        items = lengthened(items, size.long, rng, size.lease_s)
        if "hang-up" not in self.faults:
            items = [replace(item, via="http") if item.via == "cut" else item for item in items]
        if "poison" in self.faults:
            items += poison(size.poison, size.seconds * 0.8, rng)
        return sorted((replace(i, at=i.at + began) for i in items), key=lambda item: item.at)

    # -- what a run of another system does in its own way ------------------------------------------

    def arena(self, environ: dict[str, str]) -> Arena:
        """Everything, running."""
        redis = PERSISTENCE[self.persistence]
        return self.kind(self.size.workers, self.settings, environ=environ, redis_options=redis)

    @property
    def settings(self) -> Settings:
        """Short leases, and events of the whole run."""
        return Settings(
            redis_url="",
            namespace="chaos",
            lease_s=self.size.lease_s,
            grace_s=self.size.lease_s / 2,
            concurrency=self.size.lanes,
            events_kept=5_000_000,
        )

    def prepare(self, queue: Queue) -> None:
        """Before the load begins."""
        if "eviction" in self.faults:
            _fill(queue, ROOM[0] + ROOM[1] * self.size.tasks)
        if "schedulers" in self.faults:
            set_schedule(queue, "pulse", "*/2 * * * * *", step("pulse"))

    def clients(self, arena: Arena, queue: Queue, history: History) -> Clients:
        """Who sends the tasks."""
        return Clients(arena.url, queue, history)

    def census(self, queue: Queue) -> tuple[int, int] | None:
        """Tasks in all structures, and tasks ever accepted, at one moment; None: cannot say."""
        return census(queue)

    def drain(self, queue: Queue, history: History, told: Callable[[], object]) -> int:
        """Wait until all has ended; gives how many tasks have not."""
        until(lambda: unschedule(queue, "pulse") or True, self.size.drain_s)

        def over() -> bool:
            told()
            return waiting(queue) == 0 or _goes_on_for_ever(history)

        until(over, self.size.drain_s)
        return waiting(queue)

    def evidence(self, queue: Queue, known: Evidence) -> Evidence:
        """With what the queue itself says at the end."""
        inspector = Inspector(queue)
        kept = queue.client.run(durability()).sentence
        known = replace(known, events=all_events(inspector), problems=inspector.check(), kept=kept)
        ids = {*known.accepted.values(), *known.steps}
        return replace(known, tasks=all_tasks(queue, sorted(ids)), left=lasting_keys(queue))


def _fill(queue: Queue, room: int) -> None:
    """Leave Redis so many bytes, and have it evict what it likes when they are used."""
    raw = queue.client.raw
    raw.config_set("maxmemory-policy", "allkeys-random")
    raw.config_set("maxmemory", raw.info("memory")["used_memory"] + room)


def _goes_on_for_ever(history: History) -> bool:
    """Whether a poisonous task has started too often: waiting for its end is in vain."""
    starts: dict[str, int] = {}
    for record in history.of("started"):
        if record.key.startswith("poison"):
            starts[record.key] = starts.get(record.key, 0) + 1
    return any(count > POISON_ATTEMPTS + 1 for count in starts.values())
