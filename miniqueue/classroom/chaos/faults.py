"""Faults: what goes wrong, when, by a seeded schedule."""

from __future__ import annotations

import functools
import random
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from miniqueue.classroom.chaos import failpoints
from miniqueue.classroom.chaos.arena import Arena, living
from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.threads import Threads
from miniqueue.classroom.chaos.watch import until
from miniqueue.classroom.service import Service

__all__ = ["FAULTS", "Fault", "Faults", "known", "schedule"]

FAULTS = {
    "kill": "SIGKILL to a worker",
    "failpoints": "a worker dies at a named place: after a claim, in a task, after its effect and "
    "before its end is told, while complete, reclaim or promote travel",
    "freeze": "SIGSTOP to a worker, and SIGCONT when another one has its task",
    "stop": "SIGTERM to a worker",
    "api": "the API dies, also between writing a task and answering",
    "restart": "SIGKILL to Redis, which comes back with what is in its file",
    "pause": "Redis stands still",
    "power": "Redis dies, and its file loses what was not fsynced",
    "hang-up": "clients that send a task and do not read the answer",
    "schedulers": "a schedule, whose ticks every worker and a crowd of others send",
    "clock": "a quarter of the workers have a clock that is an hour off",
    "poison": "tasks that kill their workers",
    "eviction": "a Redis that is full and evicts keys: loss is to be expected (not by default)",
}
OF_SERVERS = ("api", "restart", "pause", "power")
OFTEN = {"kill": 3.0, "freeze": 5.0}  # seconds between two of them
OTHER_S = 2.0  # between two other faults
GAP_S = 0.4  # how long a dead Redis or API stays away
WAIT_S = 2.0  # how long a freeze waits for a worker that is in a long task
THAW_S = 2.0  # how long it waits, after the lease, for another worker to start what it had
ARMED_S = 3.0  # how long a failpoint waits for somebody
LOOK_S = 0.05  # between two looks at what the workers do


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at a time, in seconds since the load began; `detail` is the place of a failpoint."""

    at: float
    name: str
    detail: str = ""


def schedule(names: Collection[str], seconds: float, rng: random.Random) -> list[Fault]:
    """A kill every 3 s, a freeze every 5 s, and between them all other faults, in rounds of
    changing order.
    """
    found = []
    for name, every in OFTEN.items():
        times = max(1, int(seconds / every)) if name in names else 0
        found += [Fault(every * (i + rng.uniform(0.3, 1)), name) for i in range(times)]
    others = _others(names)
    at, end = rng.uniform(0.3, 0.8), seconds - 1
    while others and at < end:
        order = rng.sample(others, len(others))
        step = max(0.8, min(OTHER_S, (end - at) / len(order)))
        for name, detail in order:
            found.append(Fault(at, name, detail))
            at += step
    return sorted((f for f in found if f.at < seconds), key=lambda fault: fault.at)


def _others(names: Collection[str]) -> list[tuple[str, str]]:
    others = [(name, "") for name in ("stop", *OF_SERVERS) if name in names]
    places = failpoints.PLACES if "failpoints" in names else ()
    others += [("failpoints", place) for place in places if place != "reply"]
    others += [("api", "reply")] if "api" in names else []
    return others + [(name, place) for name, _, place in (n.partition(":") for n in names) if place]


def known(name: str) -> bool:
    """Whether there is such a fault; `failpoints:claimed` is one place alone."""
    fault, _, place = name.partition(":")
    return fault in FAULTS and (not place or (fault == "failpoints" and place in failpoints.PLACES))


class Faults:
    """Injects the faults of a schedule into an arena, and replaces what has died."""

    def __init__(self, arena: Arena, history: History, rng: random.Random) -> None:
        self.injected = 0
        self._arena = arena
        self._history = history
        self._rng = rng
        self._prober = arena.prober()
        self._injecting, self._replacing = Threads(), Threads()
        self._frozen: list[Service] = []
        self._how: dict[str, Callable[[Fault], None]] = {
            "kill": self._kill,
            "failpoints": self._failpoint,
            "freeze": self._freeze,
            "stop": self._stop,
            "api": self._api,
            "restart": self._restart,
            "pause": self._pause,
            "power": self._power,
        }
        for worker in arena.workers:
            history.add("hired", worker=worker.name)

    def start(self, faults: list[Fault]) -> None:
        """From now on."""
        began = time.monotonic()
        for names in (("kill",), ("freeze",), ("stop", "failpoints"), OF_SERVERS):
            group = [fault for fault in faults if fault.name in names]
            self._injecting.run(functools.partial(self._inject, group, began))
        self._replacing.run(self._replace)

    def finish(self) -> None:
        """Wait for the last fault to be over. Raises what a fault raised, as StackError where Redis
        or the API did not come back.
        """
        self._injecting.join()
        self._injecting.check()
        self._replacing.check()
        for place in failpoints.PLACES:
            failpoints.disarm(self._arena.failpoints, place)

    def stop(self) -> None:
        """Replace nothing more."""
        self._injecting.stop()
        self._replacing.stop()
        if self._prober is not None:
            self._prober.stop()

    @property
    def over(self) -> bool:
        """Whether the last fault is over."""
        return not self._injecting.alive

    def _inject(self, faults: list[Fault], began: float) -> None:
        for fault in faults:
            if self._injecting.ending.wait(max(0.0, began + fault.at - time.monotonic())):
                return
            self._how[fault.name](fault)
            self.injected += 1

    # -- workers ---------------------------------------------------------------------------------

    def _kill(self, fault: Fault) -> None:
        with self._arena.lock:
            if not (workers := living(self._arena)):
                return
            worker = self._rng.choice(workers)
            self._told(fault, worker)
            worker.kill()

    def _stop(self, fault: Fault) -> None:
        with self._arena.lock:
            workers = [w for w in living(self._arena) if w not in self._frozen]
            if not workers:
                return
            worker = self._rng.choice(workers)
            self._told(fault, worker)
            worker.signal(signal.SIGTERM)

    def _freeze(self, fault: Fault) -> None:
        until(self._at_work, WAIT_S, LOOK_S)
        with self._arena.lock:
            workers = [w for w in living(self._arena) if w not in self._frozen]
            if not workers:
                return
            at_work = self._at_work()
            worker = self._rng.choice([w for w in workers if w.name in at_work] or workers)
            held = at_work.get(worker.name, set())
            self._frozen.append(worker)
            self._told(fault, worker)
            self._history.add("frozen", worker=worker.name)
            worker.signal(signal.SIGSTOP)
        lease_s = self._arena.settings.lease_s
        ending = self._injecting.ending
        ending.wait(lease_s)
        if held:
            until(lambda: ending.is_set() or self._another_has(held, worker), THAW_S, LOOK_S)
        else:
            ending.wait(self._rng.uniform(0.3, 1.2))
        with self._arena.lock:
            worker.signal(signal.SIGCONT)
            self._frozen.remove(worker)
            self._history.add("thawed", worker=worker.name)

    def _another_has(self, held: set[str], worker: Service) -> bool:
        return any(held & keys for name, keys in self._at_work().items() if name != worker.name)

    def _at_work(self) -> dict[str, set[str]]:
        """Workers that have been in a task for a while, with its key: when one of them is frozen
        and thaws, another one is still in that task, and only the fence tells the two apart.
        """
        now, lease_s = self._history.now(), self._arena.settings.lease_s
        over: set[tuple[str, int]] = set()
        found: dict[str, set[str]] = {}
        for record in reversed(self._history.records):
            if record.at <= now - 1.5 * lease_s:
                break
            if record.what in ("effect", "raised"):
                over.add((record.key, record.attempt))
            elif (
                record.what == "started"
                and record.at < now - 0.2 * lease_s
                and (record.key, record.attempt) not in over
            ):
                found.setdefault(record.worker, set()).add(record.key)
        return found

    def _failpoint(self, fault: Fault) -> None:
        folder = self._arena.failpoints
        self._history.add("fault", note=f"failpoint {fault.detail}")
        failpoints.arm(folder, fault.detail)
        timer = threading.Timer(ARMED_S, failpoints.disarm, (folder, fault.detail))
        timer.daemon = True
        timer.start()

    def _replace(self) -> None:
        """Whatever dies is replaced, and that it died is written down."""
        while not self._replacing.ending.wait(0.05):
            with self._arena.lock:
                for worker in self._arena.replace_dead():
                    self._history.add("died", worker=worker.name, note=f"exit {worker.exit_code}")
                for worker in self._hired():
                    self._history.add("hired", worker=worker.name)

    def _hired(self) -> Iterator[Service]:
        known = {record.worker for record in self._history.of("hired")}
        return (worker for worker in self._arena.workers if worker.name not in known)

    # -- servers ---------------------------------------------------------------------------------

    def _api(self, fault: Fault) -> None:
        self._told(fault)
        if fault.detail == "reply":
            failpoints.arm(self._arena.failpoints, "reply")
            until(lambda: not self._arena.api.running, ARMED_S, 0.02)
            failpoints.disarm(self._arena.failpoints, "reply")
        self._arena.kill_api()
        time.sleep(GAP_S)
        self._arena.start_api()

    def _restart(self, fault: Fault) -> None:
        self._down(fault)
        self._arena.kill_redis()
        time.sleep(GAP_S)
        self._up()

    def _power(self, fault: Fault) -> None:
        self._down(fault)
        self._arena.kill_redis()
        cut = 0 if self._prober is None else self._arena.cut_file(self._prober.fsynced)
        self._history.add("fault", note=f"power: {cut:,} bytes were not on disk")
        time.sleep(GAP_S)
        self._up()

    def _pause(self, fault: Fault) -> None:
        self._down(fault)
        with self._arena.redis_paused():
            time.sleep(self._rng.uniform(0.5, 2.0) * self._arena.settings.lease_s)
        self._history.add("up")

    def _down(self, fault: Fault) -> None:
        self._told(fault)
        self._history.add("down", note=fault.name)

    def _up(self) -> None:
        self._arena.start_redis()
        self._history.add("up")

    def _told(self, fault: Fault, worker: Service | None = None) -> None:
        name = fault.name if not fault.detail else f"{fault.name} {fault.detail}"
        self._history.add("fault", note=name, worker="" if worker is None else worker.name)
