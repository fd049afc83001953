"""Grader of lab 2. Most checks are one story by a clock that the grader moves; two are explored."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from miniqueue.classroom.explorer import Actor, Invariant, Scenario, View, explore, nothing_lost
from miniqueue.classroom.grading import Answer, Finding, Lab, Real, found, names, tell
from miniqueue.classroom.grading.lab import ANSWER

lab = Lab(__file__, "Lease and reclaim", ("claim", "renew", "finish", "reclaim"))
LEASE_S = 10


def scenario(answer: Answer, tasks: list[str], **more: Any) -> Scenario:
    code = (answer.claim, answer.renew, answer.finish, answer.reclaim)
    settings: dict[str, Any] = {"invariants": [], "actors": {}, "code": code, **more}
    return Scenario("your functions", lambda redis: redis.rpush("queue", *tasks), **settings)


def told(
    answer: Answer, tasks: list[str], story: Callable[..., str | None], **more: Any
) -> Finding | None:
    return tell(story, answer, scenario(answer, tasks, **more))


def pair(taken: Any) -> tuple[Any, Any]:
    """(task, attempt), whatever came back."""
    try:
        task, attempt = taken
    except (TypeError, ValueError):
        return taken, None
    return task, attempt


@lab.check(
    "claim", 1, "claim() gives the oldest task and its attempt, 1, and None when there is none",
    hint="tasks come in on the right of `queue`; return a pair (task, attempt).",
)  # fmt: skip
def claims(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 2)

    def story(you: Any, sleep: Any) -> str | None:
        """claims come in the order in which tasks were sent"""
        got = [pair(you.claim("w1", LEASE_S)) for _ in tasks]
        for task, (name, attempt) in zip(tasks, got, strict=True):
            if (name, attempt) != (task, 1):
                return f"claim() gave {name!r} with attempt {attempt!r}, not {task!r} with 1"
        last = you.claim("w1", LEASE_S)
        return f"claim() of an empty queue gave {last!r}" if last is not None else None

    return told(answer, tasks, story)


@lab.check(
    "finish", 1, "a task that is finished never comes back",
    hint="finish() ends the lease and gives True; reclaim() must find nothing of it later.",
    needs=("claim",),
)  # fmt: skip
def finishes(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """what is finished is over"""
        task, attempt = pair(you.claim("w1", LEASE_S))
        if not you.finish(task, attempt):
            return f"finish() of task {task}, whose lease was good, did not give True"
        sleep(LEASE_S + 5)
        you.reclaim()
        again = you.claim("w2", LEASE_S)
        return f"task {task} was finished and was claimed again" if again else None

    return told(answer, tasks, story)


@lab.check(
    "expire", 2, "reclaim() takes back a task whose lease has run out, and no other",
    hint="compare the end of the lease with the time, to the millisecond; a lease that still runs "
    "stays.",
    needs=("claim",),
)  # fmt: skip
def expires(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 3)

    def story(you: Any, sleep: Any) -> str | None:
        """only the dead are re-issued, and all of them"""
        sleep(0.9)  # a lease that begins at the end of a second is as long as any other
        first, _ = pair(you.claim("w1", LEASE_S))
        second, _ = pair(you.claim("w1", LEASE_S))
        sleep(LEASE_S - 0.5)
        you.claim("w2", LEASE_S)
        if early := you.reclaim():
            return f"task {first} has 0.5 s of its lease left, and reclaim() gave {early!r}"
        sleep(1)
        late = list(you.reclaim() or [])
        if sorted(late) != sorted([first, second]):
            return f"the leases of {first} and {second} have run out, and reclaim() gave {late!r}"
        again = sorted(str(pair(you.claim("w3", LEASE_S))[0]) for _ in late)
        return (
            None if again == sorted(late) else f"{late!r} were taken back, claim() gave {again!r}"
        )

    return told(answer, tasks, story)


@lab.check(
    "renew", 2, "who renews in time keeps the task",
    hint="renew() moves the end of the lease to lease_s from now, no further, and gives True.",
    needs=("claim", "expire"),
)  # fmt: skip
def renews(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """a lease that is renewed goes on"""
        task, attempt = pair(you.claim("w1", LEASE_S))
        for _ in range(3):
            sleep(LEASE_S - 4)
            if not you.renew(task, attempt, LEASE_S):
                return f"renew() of task {task}, whose lease was good, did not give True"
            if taken := you.reclaim():
                return f"task {task} was renewed and taken back: reclaim() gave {taken!r}"
        sleep(LEASE_S - 4)
        if you.reclaim():
            return f"task {task} was renewed 6 s ago and was taken back"
        sleep(5)
        if not you.reclaim():
            return f"task {task} was renewed for {LEASE_S} s, 11 s ago, and was not taken back"
        return None

    return told(answer, tasks, story)


@lab.check(
    "front", 1, "a task that was taken back is the next one, before those that never ran",
    hint="it has waited longest: on which side of `queue` is the oldest?",
    needs=("claim", "expire"),
)  # fmt: skip
def front(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 3)

    def story(you: Any, sleep: Any) -> str | None:
        """what was taken back comes next"""
        task, _ = pair(you.claim("w1", LEASE_S))
        sleep(LEASE_S + 1)
        you.reclaim()
        name, _ = pair(you.claim("w2", LEASE_S))
        return f"task {task} was taken back, and {name} came before it" if name != task else None

    return told(answer, tasks, story)


@lab.check(
    "attempts", 2, "each claim of a task has a higher attempt number than the one before",
    hint="count in Redis, and let the count live as long as the task does.",
    needs=("claim", "expire"),
)  # fmt: skip
def attempts(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """attempts count the claims of a task"""
        for wanted in (1, 2, 3):
            task, attempt = pair(you.claim(f"w{wanted}", LEASE_S))
            if attempt != wanted:
                return f"claim number {wanted} of task {task} gave attempt {attempt!r}"
            sleep(LEASE_S + 1)
            you.reclaim()
        return None

    return told(answer, tasks, story)


@lab.check(
    "fence", 2, "who lost the lease can neither renew nor finish",
    hint="another attempt may be under way: compare the attempt, and is there a lease?",
    needs=("claim", "expire", "attempts"),
)  # fmt: skip
def fences(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """a stale worker changes nothing"""
        task, stale = pair(you.claim("w1", LEASE_S))
        sleep(LEASE_S + 1)
        you.reclaim()
        for moment in ("waits again", "is at work again"):
            if you.finish(task, stale):
                return f"task {task} {moment}, and finish() of attempt {stale} gave True"
            if you.renew(task, stale, LEASE_S):
                return f"task {task} {moment}, and renew() of attempt {stale} gave True"
            if moment == "waits again":
                _, attempt = pair(you.claim("w2", LEASE_S))
        if not you.finish(task, attempt):
            return f"finish() of attempt {attempt} of task {task}, which has the lease, failed"
        return None

    return told(answer, tasks, story)


@lab.check(
    "clock", 2, "the time is Redis' time: a worker's clock may be wrong",
    hint="TIME gives Redis' clock, in a script too. Two workers never agree about time.time().",
    needs=("claim", "expire"),
)  # fmt: skip
def clock(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """a lease ends by Redis' clock"""
        task, _ = pair(you.claim("w1", LEASE_S))
        sleep(LEASE_S + 1)
        if not you.reclaim():
            return f"the lease of task {task} has run out, and a worker whose clock stands still \
does not see it"
        return None

    return told(answer, tasks, story, code=(), still=(ANSWER,))


@lab.check(
    "atomic", 3, "claims and reclaims of several workers, and a crash anywhere: nothing lost, "
    "nothing queued twice",
    hint="between looking and moving somebody else looks too, or you die: do both at once.",
    needs=("claim", "expire", "attempts", "fence"),
)  # fmt: skip
def atomic(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 1)

    def holder(actor: Actor) -> None:
        answer.claim(actor.redis, actor.name, LEASE_S)

    def medic(actor: Actor) -> None:
        actor.sleep(LEASE_S + 1)
        answer.reclaim(actor.redis)

    def later(actor: Actor) -> None:
        actor.sleep(2 * LEASE_S + 2)
        answer.reclaim(actor.redis)
        while (taken := answer.claim(actor.redis, "later", LEASE_S)) is not None:
            actor.run(pair(taken)[0])
            answer.finish(actor.redis, *pair(taken))

    def twice(view: View) -> str | None:
        queue = view.data.get("queue", [])
        again = [task for task in tasks if list(queue).count(task) > 1]
        return f"task {again[0]} is in the queue twice" if again else None

    rules = [Invariant("once", "a task is in the queue once", twice), nothing_lost(tasks)]
    actors = {"w1": holder, "medic1": medic, "medic2": medic}
    place = scenario(answer, tasks, actors=actors, invariants=rules, recover=later)
    return found(explore(place, expiries=1)) or overtaken(answer, tasks[0])


def overtaken(answer: Answer, name: str) -> Finding | None:
    """A worker that is slow in the middle of finish() or renew(), while another one takes over."""

    def slow(ending: str) -> Any:
        def program(actor: Actor) -> None:
            task, attempt = pair(answer.claim(actor.redis, "slow", LEASE_S))
            words = (LEASE_S,) if ending == "renew" else ()
            if task and getattr(answer, ending)(actor.redis, task, attempt, *words):
                actor.record("granted", ending)

        return program

    def other(actor: Actor) -> None:
        actor.sleep(LEASE_S + 1)
        answer.reclaim(actor.redis)
        if answer.claim(actor.redis, "other", LEASE_S) is not None:
            actor.record("has it")

    def stale(view: View) -> str | None:
        granted = [words[1] for words in view.new if words[0] == "granted"]
        if granted and view.log_before.get(("has it",)):
            return (
                f"another worker has task {name}, and {granted[0]}() of the old attempt gave True"
            )
        return None

    rule = Invariant("fence", "who was overtaken can neither renew nor finish", stale)
    for ending in ("finish", "renew"):
        actors = {"slow": slow(ending), "other": other}
        place = scenario(answer, [name], actors=actors, invariants=[rule])
        if broken := found(explore(place, crashes=0, expiries=1), name):
            return broken
    return None


# -- real processes --------------------------------------------------------------------------------


@lab.program
def real_worker(answer: Answer, redis: Any, name: str) -> None:
    """Claims with a lease of 0.5 s, works 50 ms, finishes; takes back what others left."""
    while redis.scard("effects") < int(redis.get("count") or 0):
        answer.reclaim(redis)
        taken = answer.claim(redis, name, 0.5)
        if taken is None:
            time.sleep(0.02)
            continue
        task, attempt = taken
        redis.rpush("begun", name)
        time.sleep(0.05)
        redis.sadd("effects", task)
        answer.finish(redis, task, attempt)


@lab.check(
    "kill", 2, "real processes, a real Redis: kill -9 in mid-task, and nothing is lost",
    hint="look at `leases` after a kill: who takes the task back, and when?",
    needs=("claim", "finish", "expire", "attempts", "fence", "clock", "atomic"), real=True,
)  # fmt: skip
def kill(answer: Answer, rng: random.Random) -> Finding | None:
    tasks = names(rng, 12)
    with Real(lab, answer) as real:
        real.redis.set("count", len(tasks))
        real.redis.rpush("queue", *tasks)
        victim = real.start("real_worker", "w1")
        real.until(lambda: real.redis.llen("begun") >= 3, victim)
        victim.kill()
        other = real.start("real_worker", "w2")
        real.until(lambda: real.redis.scard("effects") == len(tasks), other)
        lost = [task for task in tasks if not real.redis.sismember("effects", task)]
    if not lost:
        return None
    return Finding("every task had its effect", f"{len(lost)} of {len(tasks)} have none", lost[0])
