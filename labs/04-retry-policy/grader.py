"""Grader of lab 4. Delays are asked for with chosen draws; moves are looked at step by step."""

from __future__ import annotations

import random
import time
from typing import Any

from miniqueue import Context, Fail, Queue, Retry, Settings, task
from miniqueue.classroom.explorer import Actor, Invariant, Scenario, View, explore
from miniqueue.classroom.grading import Answer, Finding, Lab, Real, found, names, tell
from miniqueue.classroom.grading.lab import ANSWER
from miniqueue.registry import Registry
from miniqueue.worker import Worker

lab = Lab(__file__, "Retry policy", ("delay_s", "on_failure"))
NOT_NOW = OSError("no line to the bank")


def top(low: float, high: float) -> float:
    """The highest draw."""
    return high


def asked(answer: Answer, attempt: int, base_s: float, cap_s: float, uniform: Any) -> float:
    """What delay_s gives, as a number."""
    return float(answer.delay_s(attempt, base_s, cap_s, uniform))


@lab.check(
    "doubles", 2, "the longest wait doubles with each attempt: base_s, 2 base_s, 4 base_s, ...",
    hint="attempt 1 waits up to base_s: which power of two is that?",
)  # fmt: skip
def doubles(answer: Answer, rng: random.Random) -> Finding | None:
    base_s = rng.choice([0.1, 0.5, 1.0, 3.0])
    given = [asked(answer, attempt, base_s, 1e6, top) for attempt in range(1, 11)]
    wanted = [base_s * 2**step for step in range(10)]
    if all(abs(a - b) <= 1e-6 * b for a, b in zip(given, wanted, strict=True)):
        return None
    expected = f"with base_s={base_s:g} up to {', '.join(f'{s:g}' for s in wanted)} s"
    return Finding(expected, f"up to {', '.join(f'{s:g}' for s in given)} s")


@lab.check(
    "cap", 1, "no wait is longer than cap_s, however many attempts there were",
    hint="min(cap_s, ...); and 2 ** 5000 is too large for a float.",
)  # fmt: skip
def cap(answer: Answer, rng: random.Random) -> Finding | None:
    cap_s = rng.choice([10.0, 60.0])
    for attempt in (9, 20, 5000):
        given = asked(answer, attempt, 1.0, cap_s, top)
        if given > cap_s * (1 + 1e-9):
            return Finding(f"at most {cap_s:g} s", f"{given:g} s after attempt {attempt}")
    return None


@lab.check(
    "spread", 2, "full jitter: any wait from 0 to the longest is as likely as any other",
    hint="draw from 0, not from half: those that failed together must not come back together.",
)  # fmt: skip
def spread(answer: Answer, rng: random.Random) -> Finding | None:
    for attempt in (1, 3, 6, 9, 20):
        longest = asked(answer, attempt, 1.0, 60.0, top)
        for share in (0.0, 0.25, 0.5):
            draws: list[float] = []

            def draw(low: float, high: float, share: float = share, d: Any = draws) -> float:
                d.append(high)
                return low + share * (high - low)

            given = asked(answer, attempt, 1.0, 60.0, draw)
            if abs(given - share * longest) > 1e-6 * longest:
                wanted = f"a draw at {share:.0%} of the way gives {share * longest:g} s"
                seen = f"it gave {given:g} s; after attempt {attempt} the longest is {longest:g} s"
                return Finding(wanted, seen)
            if len(draws) != 1:
                return Finding("one draw for each wait", f"{len(draws)} draws: their sum gathers")
    return None


# -- moves -----------------------------------------------------------------------------------------


def scenario(answer: Answer, name: str, **more: Any) -> Scenario:
    settings: dict[str, Any] = {
        "actors": {}, "invariants": [], "code": (answer.on_failure, answer.delay_s), **more,
    }  # fmt: skip
    return Scenario("your on_failure()", lambda redis: redis.sadd("running", name), **settings)


def places(redis: Any, name: str) -> list[str]:
    """The structures that hold a task."""
    found = []
    if redis.sismember("running", name):
        found.append("running")
    if redis.zscore("later", name) is not None:
        found.append("later")
    if redis.hexists("dead", name):
        found.append("dead")
    return found


@lab.check(
    "again", 2, "a task that may succeed waits in `later`, until now + wait_s by Redis' clock",
    hint="ZADD later, with TIME of Redis plus wait_s; it leaves `running`.",
)  # fmt: skip
def again(answer: Answer, rng: random.Random) -> Finding | None:
    (name,), wait_s = names(rng, 1), rng.choice([2.25, 7.5, 30.75])

    def story(you: Any, sleep: Any) -> str | None:
        """what failed waits for its next attempt"""
        sleep(100.3)
        seconds, micros = you.redis.time()
        you.on_failure(name, 1, 3, NOT_NOW, wait_s)
        held = places(you.redis, name)
        if held != ["later"]:
            return f"task {name} is in {' and '.join(held) or 'no structure'}, not in later"
        wait = you.redis.zscore("later", name) - seconds - micros / 1e6
        if abs(wait - wait_s) > 0.01:
            return f"task {name} is due in {wait:g} s by Redis' clock, wait_s was {wait_s:g}"
        return None

    return tell(story, answer, scenario(answer, name, code=(), still=(ANSWER,)))


@lab.check(
    "last", 2, "max_attempts counts attempts: after the last one there is no other",
    hint="with max_attempts=3 the attempts are 1, 2 and 3.", needs=("again",),
)  # fmt: skip
def last(answer: Answer, rng: random.Random) -> Finding | None:
    (name,), most = names(rng, 1), rng.choice([1, 2, 3, 5])

    def story(you: Any, sleep: Any) -> str | None:
        """a task has max_attempts attempts"""
        for attempt in range(1, most + 1):
            you.redis.zrem("later", name)
            you.redis.sadd("running", name)
            you.on_failure(name, attempt, most, NOT_NOW, 1.0)
            waits = "later" in places(you.redis, name)
            if waits != (attempt < most):
                word = "waits for another one" if waits else "has no other one"
                return f"attempt {attempt} of at most {most} failed, and task {name} {word}"
        return None

    return tell(story, answer, scenario(answer, name))


@lab.check(
    "fatal", 2, "an error that can never pass (miniqueue's Fail) is not tried again",
    hint="a wrong card number is as wrong tomorrow: isinstance(error, Fail).", needs=("again",),
)  # fmt: skip
def fatal(answer: Answer, rng: random.Random) -> Finding | None:
    (name,) = names(rng, 1)

    class NoSuchCard(Fail):
        """A Fail of a kind of its own."""

    def story(you: Any, sleep: Any) -> str | None:
        """what cannot succeed is not tried again"""
        for error in (Fail("no such card"), NoSuchCard("4711")):
            you.redis.sadd("running", name)
            you.on_failure(name, 1, 5, error, 1.0)
            if "later" in places(you.redis, name):
                kind = type(error).__name__
                return f"task {name} failed for good ({kind}), and waits for another attempt"
        return None

    return tell(story, answer, scenario(answer, name))


@lab.check(
    "dead", 2, "a task that is given up is in the hash `dead`, with a reason that names the error",
    hint="somebody will want to know why, and try it again by hand: HSET dead task reason.",
    needs=("again", "last", "fatal"),
)  # fmt: skip
def dead(answer: Answer, rng: random.Random) -> Finding | None:
    (name,) = names(rng, 1)

    def story(you: Any, sleep: Any) -> str | None:
        """what is given up is kept, with its reason"""
        for attempt, error in ((3, NOT_NOW), (3, KeyError("seat")), (1, Fail("no such card"))):
            you.redis.sadd("running", name)
            you.on_failure(name, attempt, 3, error, 1.0)
            held = places(you.redis, name)
            if held != ["dead"]:
                return f"task {name} is in {' and '.join(held) or 'no structure'}, not in dead"
            reason, kind = str(you.redis.hget("dead", name)), type(error).__name__
            if str(error.args[0]) not in reason or kind not in reason:
                return f"task {name} failed with {kind}: {error}, its reason says {reason!r}"
        return None

    return tell(story, answer, scenario(answer, name))


@lab.check(
    "moves", 2, "at every moment the task is in one of `running`, `later`, `dead`",
    hint="two commands are two moments: MULTI (a pipeline with transaction=True) or a script.",
    needs=("again", "last", "fatal", "dead"),
)  # fmt: skip
def moves(answer: Answer, rng: random.Random) -> Finding | None:
    (name,) = names(rng, 1)

    def astray(view: View) -> str | None:
        held = [key for key in ("running", "later", "dead") if name in str(view.data.get(key, ""))]
        if len(held) == 1:
            return None
        return f"task {name} is in {' and '.join(held) or 'no structure'}"

    rule = Invariant("moves", "a task is in one place", astray)
    for attempt in (1, 3):

        def program(actor: Actor, attempt: int = attempt) -> None:
            answer.on_failure(actor.redis, name, attempt, 3, NOT_NOW, 1.0)

        place = scenario(answer, name, actors={"worker": program}, invariants=[rule])
        if broken := found(explore(place, crashes=0, expiries=0), name):
            return broken
    return None


# -- a real worker ---------------------------------------------------------------------------------

ORDERS = 20
OUT_S = 1.0


@lab.program
def worker(answer: Answer, redis: Any, name: str) -> None:
    """A worker of miniqueue whose task asks delay_s how long to wait."""
    registry = Registry()

    def order(ctx: Context, number: int) -> str:
        redis.rpush("attempts", number)
        if number == 0:
            raise Fail("no such card")
        if redis.exists("out"):
            raise Retry(after_s=answer.delay_s(ctx.attempt, 0.1, 0.5, random.uniform))
        return "charged"

    task(registry=registry, max_attempts=30)(order)
    queue = Queue(settings=Settings.from_env(), registry=registry)
    queue.enqueue_many("order", [(number,) for number in range(ORDERS)])
    Worker(queue, registry, name=name).run()


@lab.check(
    "outage", 2, "a real worker with your delay_s: the bank is out for a second, and all orders "
    "but the wrong one are done soon after",
    hint="a wait must end and must not be nothing: how often did the bank hear of an order?",
    needs=("doubles", "cap", "spread"), real=True,
)  # fmt: skip
def outage(answer: Answer, rng: random.Random) -> Finding | None:
    with Real(lab, answer) as real:
        real.redis.set("out", "yes", px=int(OUT_S * 1000) + 60_000)
        one = real.start("worker", "w1")
        real.until(lambda: real.redis.llen("attempts") >= ORDERS, one)
        time.sleep(OUT_S)
        real.redis.delete("out")
        queue = Queue(settings=real.settings)
        finished = f"{queue.settings.namespace}:{{default}}:finished"
        real.until(lambda: real.redis.zcard(finished) >= ORDERS - 1, one)
        done, attempts = real.redis.zcard(finished), real.redis.llen("attempts")
        queue.client.close()
    if done != ORDERS - 1:
        return Finding(f"{ORDERS - 1} orders are done", f"{done} were, long after the outage")
    if attempts > 12 * ORDERS:
        return Finding("some attempts an order", f"{attempts} attempts for {ORDERS} orders")
    return None
