"""Ours: the real worker of miniqueue, its lanes and its keeper, with the real scripts.

Steps are the calls of the protocol that touch a task, and the middle of a task. No steps are:

- TIME: the clock moves by jumps alone;
- the roster, the announcements and the schedules: keys that no task's fate depends on;
- extend of no task, and in the scenarios where they can find nothing (no task waits for its time,
  none for another one, none is forgotten within the horizon) promote, advance and forget.

They commute with all that the invariants see.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from miniqueue.classroom.explorer.client import VirtualClient
from miniqueue.classroom.explorer.process import Actor, Program
from miniqueue.classroom.explorer.promises import fold, promises
from miniqueue.classroom.explorer.scenario import Invariant, Scenario, View
from miniqueue.classroom.plants import Planted
from miniqueue.classroom.plants import plant as plant_of
from miniqueue.context import Context
from miniqueue.errors import ConfigError, InvalidTransition
from miniqueue.executor import Executor, Interrupted
from miniqueue.options import Options
from miniqueue.protocol.calls import Call
from miniqueue.protocol.operations import Protocol
from miniqueue.queue import Queue, submission
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, TaskFunction
from miniqueue.settings import Settings
from miniqueue.task import backoff
from miniqueue.worker import Worker

__all__ = ["PARTS", "ours"]

SETTINGS = Settings(lease_s=15.0, max_attempts=2, keep_s=3600.0)
KEYS = Protocol(SETTINGS, SETTINGS.queue).keys
STILL = ("miniqueue.runner", "miniqueue.outcome")  # a run takes no time: what is measured of runs
# decides how many tasks to claim, and is left out (but for `warm`)
UNREAD = (KEYS.events, KEYS.stats, KEYS.wake)  # written, and read by no worker that never waits


@dataclass(frozen=True)
class Part:
    """A side of the worker: what the tasks and the programs are, and what is a step in it."""

    what: str
    turns: int = 2
    beats: int = 1
    beat_s: float = 0.0  # between two beats; 0: at any moment
    fails: bool = False  # the first attempt of a task raises
    warm: bool = False  # the worker claims several tasks at once, and hands back what is too much
    cancels: bool = False  # a client cancels the first task
    idle: tuple[str, ...] = ("promote", "advance", "forget")  # calls that can find nothing here


PARTS = {
    "run": Part("claim, run, complete; the keepers renew and take back"),
    "renew": Part("a keeper renews every 5 s", beats=2, beat_s=5.0),
    "promote": Part(
        "the first attempt fails and waits for its next one",
        turns=1,
        fails=True,
        idle=("advance", "forget"),
    ),
    "release": Part(
        "a worker claims several tasks at once and hands some back", turns=1, warm=True
    ),
    "cancel": Part("a client cancels a task while workers run", turns=1, cancels=True),
}
WHERE = {"promote": "promote", "fail": "promote", "extend": "renew", "release": "release",
         "cancel": "cancel"}  # fmt: skip  # the part in which an operation is looked at


def ours(
    part: str | None = None, *, plant: str | None = None, workers: int = 2, tasks: int | None = None
) -> Scenario:
    """The real worker, in one of PARTS, with a planted fault or without one.

    Without a `part` it is the one that looks at the plant's operation, else `run`. The tasks are
    called a, b, c, ...; there are 2, in `renew`, `promote` and `cancel` 1. Raises ConfigError for a
    part or a plant that does not exist.
    """
    fault = plant_of(plant) if plant is not None else None
    part = part or (WHERE.get(fault.operation, "run") if fault else "run")
    if part not in PARTS:
        raise ConfigError(f"no part is called {part!r}; there are {', '.join(PARTS)}")
    tasks = tasks or (1 if part in ("renew", "promote", "cancel") else 2)
    names = [chr(ord("a") + n) for n in range(tasks)]
    program = functools.partial(_work, PARTS[part], plant)
    actors: dict[str, Program] = {f"w{n}": program for n in range(1, workers + 1)}
    if PARTS[part].cancels:
        actors["client"] = _cancel
    return Scenario(
        name=f"miniqueue, {part}" + (f", planted {plant}" if plant else ""),
        setup=functools.partial(_send, names),
        actors=actors,
        invariants=[*promises(KEYS, names, SETTINGS.max_attempts), _idle(PARTS[part])],
        recover=functools.partial(_recover, PARTS[part], plant, 2 * tasks + 1),
        clocks=(KEYS.running, KEYS.scheduled),
        unread=UNREAD,
        fold=fold,
        still=STILL,
        replace=((backoff, functools.partial(backoff, uniform=lambda low, high: high)),),
    )


# -- programs --------------------------------------------------------------------------------------


def _work(part: Part, plant: str | None, actor: Actor) -> None:
    """A worker's process: a lane that takes turns, a keeper that beats."""
    worker = _worker(part, plant, actor)
    actor.spawn("keeper", functools.partial(_keep, part, worker, actor))
    for _ in range(part.turns):
        if not worker.lanes[0].turn(wait_s=0):
            break  # an empty claim changes nothing: a later one is as good as a later beginning
    worker.lanes[0].relieve()


def _keep(part: Part, worker: Worker, actor: Actor) -> None:
    for _ in range(part.beats):
        if part.beat_s:
            actor.sleep(part.beat_s)
        else:
            actor.pause("wakes")
        worker.beat()


def _recover(part: Part, plant: str | None, rounds: int, actor: Actor) -> None:
    """A healthy worker, after every lease has run out."""
    worker = _worker(part, plant, actor)
    for _ in range(rounds):
        actor.pass_deadlines()
        worker.run_once()


def _cancel(actor: Actor) -> None:
    queue = Queue(settings=SETTINGS, registry=Registry(), client=VirtualClient(actor))
    try:
        queue.cancel("a")
    except InvalidTransition:
        actor.record("too late to cancel", "a")


def _worker(part: Part, plant: str | None, actor: Actor) -> Worker:
    client: Client = VirtualClient(
        actor, functools.partial(_quiet, part, actor), functools.partial(_leases, actor)
    )
    if plant is not None:
        client = Planted(client, plant_of(plant))
    executor = StruckExecutor()
    registry = Registry()
    registry.add(_task(part, actor, executor))
    queue = Queue(settings=SETTINGS, registry=registry, client=client)
    worker = Worker(queue, registry, name=actor.name)
    worker.lanes[0].runner.executor = executor
    if part.warm:
        for _ in range(50):
            worker.lanes[0].shared.pace.ran("another function", 0.0)
    return worker


def _task(part: Part, actor: Actor, executor: StruckExecutor) -> TaskFunction[[Context], int]:
    def work(ctx: Context) -> int:
        actor.record("start", ctx.task_id, ctx.attempt)
        actor.pause(f"runs {ctx.task_id}/{ctx.attempt}")
        executor.strike()
        if part.fails and ctx.attempt == 1:
            raise ValueError("the first attempt fails")
        actor.record("effect", ctx.task_id, ctx.attempt)
        return ctx.attempt

    return TaskFunction(work, "work", Options())


class StruckExecutor(Executor):
    """Runs a function in a greenlet: an interrupt strikes when the function goes on.

    (The real one strikes a thread, and all greenlets of an exploration share one.)
    """

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # no coroutine runs here

    def run(self, token: object, function: TaskFunction[..., Any], args: Any, kwargs: Any) -> Any:
        self._why, self._running = "", token
        try:
            return function.function(*args, **kwargs)
        finally:
            self._running = None

    def interrupt(self, token: object, why: str) -> None:
        if self._running is token:
            self._why = self._why or why

    def strike(self) -> None:
        """Called in the function."""
        if self._why:
            raise Interrupted(self._why)


def _send(names: list[str], redis: Any) -> None:
    """Put the tasks into Redis, as a client does."""
    registry = Registry()
    registry.add(TaskFunction(_sent, "work", Options()))
    queue = Queue(settings=SETTINGS, registry=registry, client=Client(redis))
    spec = registry.get("work").spec
    queue.submit([submission(name, spec, (), {}, SETTINGS) for name in names])


def _sent(ctx: Context) -> int:
    raise NotImplementedError("only its signature is looked at")


# -- what is a step, and what is told --------------------------------------------------------------


def _quiet(part: Part, actor: Actor, call: Call[Any]) -> Any:
    """The reply of a call that is no step; None: it is one."""
    if call.name == "TIME":
        return [str(actor.now_ms // 1000), str(actor.now_ms % 1000 * 1000)]
    if call.name == "extend" and len(call.args) == 2:
        return []
    if call.name in (*part.idle, "count"):  # no task depends on what is counted
        return 0
    if call.name.isupper() and not call.keys[0].startswith(KEYS.prefix):
        return 0  # the roster; 0 is what a known worker's beat gets
    if call.name == "HGETALL" and call.keys == (KEYS.cron,):
        return {}
    return None


def _leases(actor: Actor, call: Call[Any], reply: Any) -> None:
    """Tell of the leases that Redis has granted: those of `claim`, and what `extend` affirms."""
    lease_ms = int(SETTINGS.lease_s * 1000)
    if call.name == "claim":
        for task in call.parse(reply).tasks:
            actor.record("lease", task.id, task.attempt, lease_ms)
    elif call.name == "extend":
        pairs = zip(call.args[2::2], call.args[3::2], strict=True)
        for (task, attempt), fate in zip(pairs, reply, strict=True):
            if fate:
                actor.record("lease", task, attempt, lease_ms)


def _idle(part: Part) -> Invariant:
    """That calls which are no steps could have done nothing: a check of the scenario itself."""

    def check(view: View) -> str | None:
        if "promote" in part.idle and view.data.get(KEYS.scheduled):
            return "a task waits for its time, and promote is no step"
        if view.data.get(KEYS.ended):
            return "an ended task has children, and advance is no step"
        ended = [*view.data.get(KEYS.finished, ()), *view.data.get(KEYS.failed, ())]
        if any(score <= view.now_ms for _, score in ended):
            return "a task's time to be kept is over, and forget is no step"
        return None

    return Invariant("idle-calls-are-idle", "a call that is no step finds nothing to do", check)
