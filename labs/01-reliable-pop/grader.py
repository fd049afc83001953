"""Grader of lab 1. The explorer runs the answer in every order, and kills it at every step."""

from __future__ import annotations

import random
import time
from typing import Any

from miniqueue.classroom.explorer import Actor, Invariant, Scenario, View, explore, nothing_lost
from miniqueue.classroom.grading import Answer, Finding, Lab, Real, found, names

lab = Lab(__file__, "Reliable pop", ("work", "recover"))
FOREVER_S = 1e6
FOUND_DEAD = "the grader: found dead"


def scenario(answer: Answer, tasks: list[str], **more: Any) -> Scenario:
    """Two workers, and one that comes later, when the dead have been looked after."""

    def later(actor: Actor) -> None:
        for worker in ("w1", "w2"):
            answer.recover(actor.redis, worker)
        answer.work(actor.redis, "w3", actor.run)

    settings: dict[str, Any] = {
        "actors": {"w1": worker(answer), "w2": worker(answer)},
        "invariants": [nothing_lost(tasks)],
        "recover": later,
        **more,
    }
    return Scenario(
        "your worker",
        setup=lambda redis: redis.rpush("queue", *tasks),
        code=(answer.work, answer.recover),
        **settings,
    )


def worker(answer: Answer) -> Any:
    return lambda actor: answer.work(actor.redis, actor.name, actor.run)


def stuck(answer: Answer, name: str = "") -> Any:
    """A worker that stands still for ever in the middle of its first task."""

    def program(actor: Actor) -> None:
        def run(task: str) -> None:
            actor.redis.rpush(FOUND_DEAD, name or actor.name)
            actor.sleep(FOREVER_S)

        answer.work(actor.redis, name or actor.name, run)

    return program


def called(answer: Answer, lives: int = 1) -> Any:
    """Whoever calls recover() when a worker was found dead, so many times, and not before."""

    def program(actor: Actor) -> None:
        for _ in range(lives):
            _, name = actor.redis.blpop(FOUND_DEAD)
        answer.recover(actor.redis, name)

    return program


def somewhere(view: View, task: str) -> bool:
    """Whether the task's name is anywhere in Redis."""
    return any(task in f"{key} {value}" for key, value in view.data.items())


@lab.check(
    "all-run", 1, "one worker runs each task once, in the order in which they were sent",
    hint="new tasks come in on the right (RPUSH), so the oldest is on the left.",
)  # fmt: skip
def all_run(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 3)

    def order(view: View) -> str | None:
        for at, task in enumerate(tasks):
            if view.count("start", task) > 1:
                return f"task {task} started twice"
            later = [t for t in tasks[at + 1 :] if view.count("start", t)]
            if later and not view.count("start", task):
                return f"task {task} was sent before {later[0]} and starts after it"
        return None

    rules = [Invariant("order", "the oldest task is next", order), nothing_lost(tasks)]
    alone = scenario(answer, tasks, actors={"w1": worker(answer)}, invariants=rules, recover=None)
    return found(explore(alone, crashes=0, expiries=0))


@lab.check(
    "forgets", 1, "a task that is done is in Redis no more",
    hint="after run(task), take it out of the place where your worker held it.", needs=("all-run",),
)  # fmt: skip
def forgets(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def left(view: View) -> str | None:
        kept = [t for t in tasks if view.count("effect", t) and somewhere(view, t)]
        return f"task {kept[0]} is done and is still there" if kept else None

    rule = Invariant("forgets", "what is done is forgotten", left, at_end=True)
    alone = scenario(
        answer, tasks, actors={"w1": worker(answer)}, invariants=[rule], recover=lambda actor: None
    )
    return found(explore(alone, crashes=0, expiries=0))


@lab.check(
    "pop", 2, "on its way from the queue to a worker a task is never nowhere",
    hint="two commands leave a moment between them. Which single command takes from one list and "
    "puts into another?",
    needs=("all-run",),
)  # fmt: skip
def pop(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def nowhere(view: View) -> str | None:
        lost = [t for t in tasks if not view.count("start", t) and not somewhere(view, t)]
        return f"task {lost[0]} has not started and is nowhere in Redis" if lost else None

    rule = Invariant("pop", "a task that waits is somewhere in Redis", nowhere)
    return found(explore(scenario(answer, tasks, invariants=[rule]), crashes=0, expiries=0))


@lab.check(
    "run", 2, "a task that runs is in Redis until it is done",
    hint="if the process dies in the middle of run(task), who still knows of the task?",
    needs=("all-run",),
)  # fmt: skip
def run(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def unheld(view: View) -> str | None:
        for task in tasks:
            running = view.count("start", task) > view.count("effect", task)
            if running and not somewhere(view, task):
                return f"task {task} runs and is nowhere in Redis"
        return None

    rule = Invariant("run", "a task that runs is somewhere in Redis", unheld)
    return found(explore(scenario(answer, tasks, invariants=[rule]), crashes=0, expiries=0))


@lab.check(
    "twins", 2, "two tasks that look the same stay two tasks",
    hint="LREM with a count of 0 removes all that are equal. How many did you hold?",
    needs=("all-run", "pop", "run"),
)  # fmt: skip
def twins(answer: Answer, rng: random.Random) -> Finding | None:
    (twin,) = names(rng, 1)

    def again(actor: Actor) -> None:
        answer.work(actor.redis, "w1", actor.run)  # it starts again under its old name
        answer.recover(actor.redis, "w1")
        answer.work(actor.redis, "w1", actor.run)

    def both(view: View) -> str | None:
        ran = view.count("effect", twin)
        return f"task {twin} was sent twice and ran {ran} times" if ran < 2 else None

    rule = Invariant("twins", "each of two equal tasks runs", both, at_end=True)
    pair = scenario(
        answer, [twin, twin], actors={"w1": worker(answer)}, invariants=[rule], recover=again
    )
    return found(explore(pair, expiries=0), twin)


@lab.check(
    "neighbours", 2, "recover() takes nothing from a worker that lives",
    hint="if all workers hold their tasks in one place, how can recover() tell whose they are? "
    "(And w10 is not w1.)",
    needs=("all-run",),
)  # fmt: skip
def neighbours(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def program(actor: Actor) -> None:
        def run(task: str) -> None:
            actor.record("w10", task)
            actor.pause(f"runs {task}")

        answer.work(actor.redis, "w10", run)

    def robbed(view: View) -> str | None:
        strange = [record[1] for record in view.log if record[0] == "w10" if record[1] not in tasks]
        if strange:
            return f"w10 was given task {strange[0]}, which nobody has sent"
        twice = [t for t in tasks if view.count("w10", t) > 1]
        return f"w10 lives and has task {twice[0]}, and it was queued again" if twice else None

    rule = Invariant("neighbours", "what a living worker holds stays with it", robbed)
    actors = {
        "w1": stuck(answer),
        "w10": program,
        "medic": called(answer),
    }
    place = scenario(answer, tasks, actors=actors, invariants=[rule], recover=None)
    return found(explore(place, crashes=0, expiries=0))


@lab.check(
    "mend", 2, "recover() gives back all that the dead one held, even if it dies itself half-way",
    hint="recover() is a process too: between reading and writing back it may die. And a worker "
    "that died with a task may have been started again under its name.",
    needs=("all-run", "pop", "run"),
)  # fmt: skip
def mend(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def again(actor: Actor) -> None:
        answer.work(actor.redis, "w1", actor.run)

    first, second = stuck(answer), stuck(answer, "w1")
    for actors in (
        {"w1": first, "medic": called(answer)},
        {"w1": first, "w1 again": second, "medic": called(answer, 2)},
    ):
        if broken := found(explore(scenario(answer, tasks, actors=actors), expiries=0)):
            return broken
    lives = {"w1": first, "w1 again": again}
    return found(explore(scenario(answer, tasks, actors=lives), crashes=0, expiries=0))


@lab.check(
    "crash", 2, "two workers, one crash at any step: no task is lost",
    hint="read the steps one by one: after which of them would nobody know of the task?",
    needs=("all-run", "pop", "run", "twins", "mend"),
)  # fmt: skip
def crash(answer: Answer, rng: random.Random) -> Finding | None:
    return found(explore(scenario(answer, names(rng, 2)), expiries=0))


# -- real processes --------------------------------------------------------------------------------


@lab.program
def real_worker(answer: Answer, redis: Any, name: str) -> None:
    """A worker whose tasks take 20 ms and leave their names in a list."""

    def run(task: str) -> None:
        redis.rpush("begun", name)
        time.sleep(0.02)
        redis.rpush("effects", task)

    answer.work(redis, name, run)


@lab.program
def medic(answer: Answer, redis: Any, name: str) -> None:
    """What is done when a worker was found dead."""
    answer.recover(redis, name)


@lab.check(
    "kill", 2, "real processes, a real Redis: kill -9 in the middle of a run, and nothing is lost",
    hint="the same as crash, without the explorer: which command was the last one of the dead?",
    needs=("all-run", "pop", "run", "twins", "mend", "crash"), real=True,
)  # fmt: skip
def kill(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 30)
    with Real(lab, answer) as real:
        real.redis.rpush("queue", *tasks)
        victim = real.start("real_worker", "w1")
        real.until(lambda: real.redis.llen("begun") >= 5, victim)
        victim.kill()
        healer = real.start("medic", "w1")
        real.until(lambda: not healer.running)
        last = real.start("real_worker", "w2")
        real.until(lambda: {*tasks} <= {*real.redis.lrange("effects", 0, -1)}, last)
        lost = [t for t in tasks if t not in real.redis.lrange("effects", 0, -1)]
    if not lost:
        return None
    return Finding("every task had its effect", f"{len(lost)} of {len(tasks)} have none", lost[0])
