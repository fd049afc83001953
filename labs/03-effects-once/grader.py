"""Grader of lab 3. Stories by a clock that the grader moves, races that the explorer tries out."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any

from miniqueue.classroom.explorer import Actor, Invariant, Scenario, View, explore
from miniqueue.classroom.grading import Answer, Busy, Conflict, Finding, Lab, Real, found, tell
from miniqueue.classroom.service import Service

lab = Lab(__file__, "Effects once", ("once",))
LEASE_S = 30


def scenario(answer: Answer, **more: Any) -> Scenario:
    settings: dict[str, Any] = {"actors": {}, "invariants": [], "code": (answer.once,), **more}
    return Scenario("your once()", lambda redis: redis.set("here", "1"), **settings)


class Bank:
    """Counts what it was asked to do."""

    def __init__(self, gives: Any = "charged") -> None:
        self.__name__ = "charge"
        self.charges = 0
        self._gives = gives

    def __call__(self) -> Any:
        self.charges += 1
        if isinstance(self._gives, Exception):
            raise self._gives
        return self._gives


def order(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A key and the arguments of a charge."""
    number = rng.randrange(100, 1000)
    card = {"holder": "Ada", "ends": number}
    return f"order{number}", {"order": number, "cents": 100 * rng.randrange(10, 99), "card": card}


def other_way(value: Any) -> Any:
    """The same JSON, with the names of its dicts in another order."""
    if not isinstance(value, dict):
        return value
    return {name: other_way(value[name]) for name in reversed(value)}


@lab.check(
    "runs", 1, "the first call has the effect and gives its result; each key stands for itself",
    hint="call effect() and return what it gives; the name in Redis must contain the key.",
)  # fmt: skip
def runs(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """different keys are different effects"""
        for name in (key, key + "b"):
            bank = Bank(f"receipt of {name}")
            given = you.once(name, arguments, bank)
            if bank.charges != 1:
                return f"the first call with key {name!r} had its effect {bank.charges} times"
            if given != f"receipt of {name}":
                return f"effect() of {name!r} gave its receipt, and once() gave {given!r}"
        return None

    return tell(story, answer, scenario(answer))


@lab.check(
    "again", 2, "a second call gives the first one's result, without the effect",
    hint="keep the result beside the key, also one like None, 0 or '', and for longer than 30 s.",
    needs=("runs",),
)  # fmt: skip
def again(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """who asks twice gets the same answer"""
        for number, value in enumerate(({"receipt": 7}, None, 0, "")):
            bank, name = Bank(value), f"{key}-{number}"
            you.once(name, arguments, bank)
            given = you.once(name, other_way(arguments), bank)
            if bank.charges != 1:
                return f"two calls with key {name!r} had the effect {bank.charges} times"
            if given != value:
                return f"the effect of {name!r} gave {value!r}, the second call {given!r}"
            sleep(2 * LEASE_S)
            you.once(name, arguments, bank)
            if bank.charges != 1:
                return f"a minute after the effect of {name!r} a call had it again"
        return None

    return tell(story, answer, scenario(answer))


@lab.check(
    "conflict", 2, "the same key with other arguments is refused: Conflict, and no effect",
    hint="keep the arguments (or a digest of them) with the key, and compare.", needs=("runs",),
)  # fmt: skip
def conflicts(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """a key belongs to its arguments"""
        bank = Bank()
        you.once(key, arguments, bank)
        other = {**arguments, "cents": arguments["cents"] + 1}
        try:
            given = you.once(key, other, bank)
        except Conflict:
            return "a refused call had an effect" if bank.charges > 1 else None
        return f"key {key!r} came with other cents, and once() gave {given!r}"

    return tell(story, answer, scenario(answer))


@lab.check(
    "failure", 2, "an effect that raises did not happen: its error comes through, and the next "
    "call tries again",
    hint="on an exception give the key back before you raise it again.", needs=("runs",),
)  # fmt: skip
def failure(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """what failed may be tried again"""
        for error in (OSError("no line to the bank"), KeyError("card")):
            kind, name = type(error).__name__, f"{key}-{type(error).__name__}"
            try:
                given = you.once(name, arguments, Bank(error))
            except type(error):
                pass
            else:
                return f"the effect raised {kind}, and once() gave {given!r}"
            bank = Bank()
            try:
                you.once(name, arguments, bank)
            except Busy:
                return f"the first effect failed with {kind}, and the next call got Busy"
            if not bank.charges:
                return f"the first effect failed with {kind}, and the next call had none"
        return None

    return tell(story, answer, scenario(answer))


@lab.check(
    "elsewhere", 2, "another process knows it too",
    hint="a variable of your module lives and dies with one process. Where do all look?",
    needs=("runs", "again"),
)  # fmt: skip
def elsewhere(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """the memory of one process is not enough"""
        bank = Bank()
        you.once(key, arguments, bank)
        given = Answer(answer.text, lab.asked).once(you.redis, key, arguments, bank)
        if bank.charges != 1:
            return f"a second process with key {key!r} had the effect again"
        return None if given == "charged" else f"a second process was given {given!r}"

    return tell(story, answer, scenario(answer))


@lab.check(
    "race", 2, "two calls at the same time: one effect; the other gets its result, or Busy",
    hint="between looking and writing the other one looks too. SET has an option for that.",
    needs=("runs", "elsewhere"),
)  # fmt: skip
def race(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def caller(actor: Actor) -> None:
        def effect() -> str:
            actor.record("effect", key)
            actor.pause(f"charges for {key}")
            return "charged"

        try:
            given = answer.once(actor.redis, key, arguments, effect)
        except Busy:
            return
        if given != "charged":
            actor.record("given", repr(given))

    def wrong(view: View) -> str | None:
        if view.count("effect", key) > 1:
            return f"the card for {key} was charged twice"
        strange = [record[1] for record in view.log if record[0] == "given"]
        return f"once() gave {strange[0]}, the effect gave 'charged'" if strange else None

    rule = Invariant("once", "two calls have one effect", wrong)
    pair = scenario(answer, actors={"w1": caller, "w2": caller}, invariants=[rule])
    return found(explore(pair, crashes=0, expiries=0), key)


@lab.check(
    "dies", 2, "a process that dies in the effect blocks the key for 30 s and no longer",
    hint="what says that somebody is at it needs a time to live: 30 s.",
    needs=("runs", "elsewhere", "race"),
)  # fmt: skip
def dies(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def effect_of(actor: Actor) -> Any:
        def effect() -> str:
            actor.pause(f"charges for {key}")
            actor.record("effect", key)
            return "charged"

        return effect

    def caller(actor: Actor) -> None:
        answer.once(actor.redis, key, arguments, effect_of(actor))

    def later(actor: Actor) -> None:
        actor.sleep(LEASE_S + 1)
        try:
            answer.once(actor.redis, key, arguments, effect_of(actor))
        except Busy:
            actor.record("busy", key)

    def blocked(view: View) -> str | None:
        if view.count("busy", key):
            return f"its caller has died, and 31 s later key {key} is still Busy"
        return None if view.count("effect", key) else f"the effect of {key} never happened"

    rule = Invariant("dies", "a dead caller blocks nobody for ever", blocked, at_end=True)
    place = scenario(answer, actors={"w1": caller}, invariants=[rule], recover=later)
    return found(explore(place, expiries=0), key) or soon(answer, key, arguments)


def soon(answer: Answer, key: str, arguments: dict[str, Any]) -> Finding | None:
    """A call that comes 25 s after the first one, which is still at it."""

    def story(you: Any, sleep: Any) -> str | None:
        """for 30 s nobody else has the effect"""
        second = Bank()

        def long() -> str:
            sleep(LEASE_S - 5)
            with contextlib.suppress(Busy):
                you.once(key, arguments, second)
            return "charged"

        you.once(key, arguments, long)
        return f"25 s after the first call of {key!r} a second one had the effect" * second.charges

    return tell(story, answer, scenario(answer))


@lab.check(
    "late", 2, "who comes back after its 30 s changes nothing: the newer call's result stays",
    hint="before you write the end, look whether the key is still yours, in the same step.",
    needs=("runs", "again", "failure", "dies"),
)  # fmt: skip
def late(answer: Answer, rng: random.Random) -> Finding | None:
    key, arguments = order(rng)

    def story(you: Any, sleep: Any) -> str | None:
        """a stale caller changes nothing"""
        for name, fails in ((f"{key}-fails", True), (f"{key}-ends", False)):
            newer = Bank("by the newer one")

            def frozen(name: str = name, fails: bool = fails, newer: Bank = newer) -> str:
                sleep(LEASE_S + 1)
                you.once(name, arguments, newer)
                if fails:
                    raise OSError("too late")
                return "by the stale one"

            with contextlib.suppress(OSError):
                you.once(name, arguments, frozen)
            third = Bank("by a third one")
            given = you.once(name, arguments, third)
            if third.charges:
                return f"a stale call freed key {name!r}, and the effect came again"
            if given != "by the newer one":
                return f"key {name!r} was done by the newer call, and once() gives {given!r}"
        return None

    return tell(story, answer, scenario(answer))


# -- real processes --------------------------------------------------------------------------------

ORDERS = 25


@lab.program
def clicks(answer: Answer, redis: Any, name: str) -> None:
    """Sends all orders, as its three twins do at the same time."""
    redis.incr("here")
    while int(redis.get("here")) < 4:
        time.sleep(0.001)
    for number in range(ORDERS):

        def effect(number: int = number) -> str:
            time.sleep(0.002)
            redis.rpush("charges", number)
            return f"receipt {number}"

        try:
            receipt = answer.once(redis, f"order-{number}", {"order": number}, effect)
        except Busy:
            continue
        redis.sadd("receipts", f"{number}: {receipt}")
    redis.rpush("ready", name)


def fallen(callers: list[Service]) -> list[Service]:
    """Those that an error has ended."""
    return [caller for caller in callers if caller.exit_code]


@lab.check(
    "clicks", 2, "four real processes send the same 25 orders: each card is charged once",
    hint="the same as race, on a real Redis. What differs from process to process? hash() does.",
    needs=("runs", "again", "elsewhere", "race"), real=True,
)  # fmt: skip
def real_clicks(answer: Answer, rng: random.Random) -> Finding | None:
    with Real(lab, answer) as real:
        callers = [real.start("clicks", f"p{number}") for number in range(4)]
        real.until(lambda: not any(caller.running for caller in callers) or fallen(callers))
        if broken := fallen(callers):
            return Finding("all four processes come to their end", broken[0].tail(1))
        charges = [int(number) for number in real.redis.lrange("charges", 0, -1)]
        receipts = real.redis.scard("receipts")
    for number in range(ORDERS):
        if charges.count(number) != 1:
            seen = f"order {number} was charged {charges.count(number)} times"
            return Finding("each order is charged once", seen, f"order-{number}")
    if receipts != ORDERS:
        return Finding("all calls give the same receipt", f"there are {receipts} receipts")
    return None
