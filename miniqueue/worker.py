"""Worker: one process that claims tasks, runs them and reports (`python -m miniqueue.worker`).

Its lanes do the work (lane.py). A second thread, the keeper, does what must go on while a lane is
deep in a task: renews leases, ends tasks that are cancelled or run too long, relieves a lane whose
task is slower than expected, gives the worker's sign of life, and looks after the queue (promote,
reclaim, forget) as every worker does.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import miniqueue.functions  # noqa: F401  (registers the built-in task functions)
from miniqueue import logs
from miniqueue.cron import due_calls
from miniqueue.cron import read as read_schedules
from miniqueue.durability import UNKNOWN, Durability, durability
from miniqueue.errors import BackendUnavailable, ConfigError, MiniQueueError
from miniqueue.lane import Lane
from miniqueue.middleware import Capture, Middleware, RateLimit
from miniqueue.outcome import Run
from miniqueue.pace import Pace
from miniqueue.protocol.calls import Call, redis_time
from miniqueue.protocol.records import Note
from miniqueue.queue import Queue
from miniqueue.registry import Registry, default_registry, load_modules
from miniqueue.runner import Shared, drain
from miniqueue.settings import Settings
from miniqueue.signals import on_signal
from miniqueue.upkeep import catch_up, upkeep

__all__ = ["Worker", "main"]

log = logging.getLogger("miniqueue.worker")
BEAT_S = 1.0
AGAIN_S = 0.05  # between two tries to interrupt a run
STUCK_S = 5.0  # a run that goes on so long after the first try will not return


class Worker:
    """`Worker(queue, registry, settings).run()` works until stop(); run_once() takes one turn."""

    def __init__(
        self,
        queue: Queue,
        registry: Registry = default_registry,
        settings: Settings | None = None,
        *,
        name: str | None = None,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self.settings = settings or queue.settings
        self.id = name or f"{socket.gethostname()[:20]}-{os.getpid()}-{os.urandom(2).hex()}"
        self._queue = queue
        self._client = queue.client
        self._protocol = queue.protocol
        pace = Pace(self.settings.prefetch_ms / 1000, self.settings.batch)
        self._shared = Shared(self.id, queue, registry, pace)
        self._metrics = self._shared.metrics
        self._shared.watch(
            [
                RateLimit(queue),
                Capture(),
                self._metrics,
                *middlewares,
                *_tracing(queue),
            ]
        )
        self._shared.alarm = self._alarm
        self.lanes = [Lane(self._shared) for _ in range(self.settings.concurrency)]
        self._beat_s = min(BEAT_S, self.settings.lease_s / 3)
        self._condition = threading.Condition()
        self._wake_at = 0.0
        self._started_ms = 0
        self._clock = (0, 0.0)  # Redis' time in ms, and the monotonic time when it was read
        self._closed = False
        self._stuck: list[Lane] = []
        self._code = 0
        self.exit: Callable[[int], object] = lambda code: None  # how to end the process

    def run(self) -> None:
        """Work until stop(). The first lane runs in the calling thread."""
        self.start()
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        others = [threading.Thread(target=lane.loop, daemon=True) for lane in self.lanes[1:]]
        for thread in (keeper, *others):
            thread.start()
        self.lanes[0].loop()
        for thread in others:
            thread.join()
        self._closed = True
        self._alarm(0.0)
        keeper.join()
        self._leave()

    def run_once(self) -> int:
        """Look after the queue, claim once, run it, report; gives the number of tasks run.

        For tests.
        """
        self._client.run_many(upkeep(self._protocol))
        ran = self.lanes[0].turn(wait_s=0)
        self.lanes[0].relieve()
        return ran

    def stop(self) -> None:
        """Claim nothing more; finish what runs, within grace_s, or release it (R12)."""
        self._shared.stopping.set()

    def start(self) -> None:
        """Announce the functions and give a first sign of life; waits for Redis."""
        while not self._shared.stopping.is_set():
            try:
                self.beat()
                return
            except BackendUnavailable as away:
                self._metrics.redis_errors += 1
                log.warning("%s; trying again", away)
                self._shared.stopping.wait(0.5)

    def durability(self) -> Durability:
        """What Redis' settings mean for an accepted task."""
        try:
            return self._client.run(durability())
        except BackendUnavailable:
            return UNKNOWN

    # -- the keeper ------------------------------------------------------------------------------

    def _alarm(self, at: float) -> None:
        """Have the keeper look at this monotonic time, if it would not before."""
        with self._condition:
            if at < self._wake_at:
                self._wake_at = at
                self._condition.notify()

    def _keep(self) -> None:
        beat_at, stop_at = 0.0, float("inf")
        while not self._closed:
            now = time.monotonic()
            if self._shared.stopping.is_set() and stop_at == float("inf"):
                stop_at = now + self.settings.grace_s
            if now >= beat_at:
                self._safely(self.beat)
                beat_at = now + self._beat_s
            looks = [self._look_at(lane, now, stop_at) for lane in self.lanes]
            if self._stuck and (now >= stop_at or not self._others_run()):
                self._leave()
                self.exit(self._code)
            with self._condition:
                alarmed = self._wake_at  # by a lane, since we woke
                self._wake_at = min(alarmed, beat_at, stop_at if stop_at > now else beat_at, *looks)
                self._condition.wait(max(0.0, self._wake_at - time.monotonic()))
                self._wake_at = float("inf")

    def _look_at(self, lane: Lane, now: float, stop_at: float) -> float:
        """Interrupt or relieve the lane if it is time; gives the time of the next look."""
        run = lane.runner.current
        if run is None:
            return float("inf")
        if now >= min(run.deadline, stop_at):
            lane.runner.executor.interrupt(run, "timeout" if now >= run.deadline else "stop")
            lane.relieve()
            if now >= min(run.deadline, stop_at) + STUCK_S and lane not in self._stuck:
                self._give_up(lane, now)
            return now + AGAIN_S
        slow_at = run.began + self._shared.pace.prefetch_s
        if not (lane.backlog or lane.results or lane.ahead):
            return run.deadline
        if now >= slow_at:
            lane.relieve()
            return run.deadline
        return min(slow_at, run.deadline)

    def _give_up(self, lane: Lane, now: float) -> None:
        """Its task is in code outside Python that does not return: say so, and end the process."""
        for run in lane.runner.runs:
            log.error("task %s cannot be interrupted: this worker ends", run.task.id)
            late = now >= run.deadline
            self._code = 1 if late else self._code
            why = "timeout" if late else "stop"
            lane.results.extend(lane.runner.abandon(run, why, now - run.deadline))
        lane.relieve()
        self._stuck.append(lane)
        self.stop()

    def _others_run(self) -> bool:
        return any(lane.runner.current for lane in self.lanes if lane not in self._stuck)

    def beat(self) -> None:
        """Renew the leases, look after the queue, give a sign of life: one round trip."""
        sent, first = time.monotonic(), not self._started_ms
        runs = [lane.runner.current for lane in self.lanes]
        held = [pair for lane in self.lanes for pair in lane.held()]
        beat_ms = self._now_ms()
        self._started_ms = self._started_ms or beat_ms
        roster = self._protocol.roster
        calls: list[Call[Any]] = [redis_time(), self._protocol.extend(held)]
        calls.append(read_schedules(self._protocol))
        calls += self._announcement() if first else []  # before anybody sees this worker
        beating = len(calls)
        calls += roster.beat(self.id, beat_ms, self._about(runs))
        caring, care = len(calls), upkeep(self._protocol)
        calls += [*care, *self._notes(runs), *self._counted()]
        replies = self._client.run_many(calls)
        self._metrics.told()
        now_ms, fates, schedules = replies[:3]
        self._clock = (now_ms, time.monotonic())
        self._shared.renewed = sent
        again = self._announcement() if replies[beating] and not first else []
        again += due_calls(
            self._protocol, list(schedules.values()), now_ms, self.settings.events_kept
        )
        if again:  # a Redis that came back empty, or schedules whose time has come
            self._client.run_many(again)
        told = dict(zip(held, fates, strict=True))
        for lane, run in zip(self.lanes, runs, strict=True):
            self._tell(lane, run, told)
        catch_up(self._client, self._protocol, replies[caring : caring + len(care)])

    def _notes(self, runs: Sequence[Run | None]) -> list[Call[Any]]:
        """What the running tasks have logged since the last beat."""
        talking = [run for run in runs if run is not None and run.lines]
        notes = [Note(run.task.id, run.task.attempt, drain(run.lines)) for run in talking]
        return [self._protocol.note(note) for note in notes if note.lines]

    def _counted(self) -> list[Call[int]]:
        """What the runs came to since the last beat that reached Redis."""
        news = self._metrics.news()
        return [self._protocol.count(news)] if news else []

    def _tell(self, lane: Lane, run: Run | None, fates: dict[tuple[str, int], int]) -> None:
        lane.drop({pair for pair, fate in fates.items() if fate == 0})
        if run is None or lane.runner.current is not run:
            return
        fate = fates.get((run.task.id, run.task.attempt), 1)
        if fate == 2 and len(lane.runner.runs) == 1:  # a task in a batch ends with its batch
            lane.runner.executor.interrupt(run, "cancel")
        elif fate == 0:
            self._metrics.lost(run.task.id, run.task.attempt)
            log.warning(
                "task %s lost its lease while attempt %d ran", run.task.id, run.task.attempt
            )
            lane.runner.executor.interrupt(run, "lost")

    def _announcement(self) -> list[Call[Any]]:
        roster = self._protocol.roster
        return [roster.register(self._queue.name), *roster.announce(self._shared.registry.specs())]

    def _about(self, runs: list[Run | None]) -> dict[str, str | int | float]:
        return {
            "queue": self._queue.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": len(self.lanes),
            "started_ms": self._started_ms,
            "doing": " ".join(run.task.id for run in runs if run is not None),
            "done": self._shared.done,
            "runs": self._metrics.text(),
            "lease_s": self.settings.lease_s,
        }

    def _now_ms(self) -> int:
        ms, read = self._clock
        if not ms:
            ms, read = self._client.run(redis_time()), time.monotonic()
            self._clock = (ms, read)
        return ms + int((time.monotonic() - read) * 1000)

    def _safely(self, action: Any) -> None:
        try:
            action()
        except BackendUnavailable as away:
            self._metrics.redis_errors += 1
            log.warning("%s", away)
        except Exception:  # a foreign hand in Redis: without a keeper all leases would be lost
            log.exception("worker %s goes on", self.id)

    def _leave(self) -> None:
        self._shared.loop.close()
        last = [*self._counted(), *self._protocol.roster.leave(self.id)]
        self._safely(lambda: self._client.run_many(last))


def _tracing(queue: Queue) -> list[Middleware]:
    if not queue.settings.tracing:
        return []
    from miniqueue.spans import provide  # imports OpenTelemetry
    from miniqueue.tracing import Tracing

    provide("miniqueue-worker")
    return [Tracing(queue)]


def add_import(parser: argparse.ArgumentParser) -> None:
    """`--import MODULE`, for every command that needs task functions."""
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE",
        help="import this module for its task functions (repeatable)",
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a worker, for this module's command line and for `miniqueue worker`."""
    parser.add_argument("--queue", help="the queue to serve (MINIQUEUE_QUEUE)")
    parser.add_argument("--concurrency", type=int, help="tasks at once (MINIQUEUE_CONCURRENCY)")
    parser.add_argument("--name", help="a name that no other worker has")
    add_import(parser)


def serve(queue: Queue, modules: Sequence[str], name: str | None = None) -> None:
    """Run a worker of this queue in this process until SIGTERM or SIGINT."""
    logs.install(queue.settings)
    load_modules(modules)
    worker = Worker(queue, name=name)
    on_signal(worker.stop, signal.SIGTERM, signal.SIGINT)
    worker.lanes[0].runner.executor.catch_signals()
    worker.exit = os._exit
    Capture.install()
    log.info("worker %s serves queue %r with %d lanes", worker.id, queue.name, len(worker.lanes))
    log.info("%s", worker.durability().sentence)
    worker.run()
    log.info("worker %s has stopped", worker.id)


def main(argv: list[str] | None = None) -> int:
    """`python -m miniqueue.worker [--import MODULE] [--queue Q] [--concurrency N]`."""
    parser = argparse.ArgumentParser(prog="miniqueue.worker", description="Run a miniqueue worker.")
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        settings = Settings.from_env().but(queue=args.queue, concurrency=args.concurrency)
        serve(Queue(settings=settings), (*settings.modules, *args.modules), args.name)
    except MiniQueueError as error:
        print(f"miniqueue.worker: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
