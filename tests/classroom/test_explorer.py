"""The explorer on small programs: what it finds, what it counts, and what the programs see."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis import WatchError

from miniqueue.classroom.explorer import (
    Actor,
    Exploration,
    Invariant,
    NotRepeatable,
    Scenario,
    View,
    explore,
    naive,
    of_worker,
    timely,
)
from miniqueue.classroom.explorer.__main__ import main
from miniqueue.classroom.explorer.clock import START_MS
from miniqueue.classroom.explorer.walk import every_schedule
from miniqueue.classroom.explorer.world import Bounds

Run = Callable[[str], str]
UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


def careful(redis: Any, run: Run) -> None:
    """Keeps a task in the list until it has run: it may run twice and is never lost."""
    for task in redis.lrange("queue", 0, -1):
        if redis.set(f"lock:{task}", uuid.uuid4().hex, nx=True, ex=10):
            run(task)
            redis.lrem("queue", 1, task)


def runs_twice(view: View) -> str | None:
    twice = [task for task in "ab" if view.count("effect", task) > 1]
    return f"task {twice[0]} ran twice" if twice else None


ONCE = Invariant("once", "no task has its effect twice", runs_twice)


def alone(
    program: Callable[[Actor], object], *invariants: Invariant, expiries: int = 1, **more: Any
) -> Exploration:
    """Explore one program on an empty Redis, without crashes."""
    scenario = Scenario("alone", lambda redis: None, {"w1": program}, invariants, **more)
    return explore(scenario, crashes=0, expiries=expiries)


# -- what is found ---------------------------------------------------------------------------------


def test_the_naive_worker_loses_a_task_in_three_steps() -> None:
    failure = explore(naive()).failure
    assert failure is not None
    assert failure.invariant == "nothing-lost"
    assert failure.shortest
    assert [(s.who, s.kind, s.what, s.reply, s.in_recovery) for s in failure.steps] == [
        ("w1", "call", "LPOP queue", "'a'", False),
        ("w1", "crash", "crashes", "", False),
        ("recovery", "call", "LPOP queue", "nothing", True),
    ]


def test_without_a_crash_the_naive_worker_is_right() -> None:
    found = explore(naive(2, 2), crashes=0)
    assert (found.failure, found.complete) == (None, True)


def test_a_lock_that_runs_out_lets_a_task_run_twice() -> None:
    scenario = of_worker(careful, tasks=["a"])
    assert explore(scenario).failure is None
    failure = explore(replace(scenario, invariants=[ONCE]), crashes=0).failure
    assert failure is not None
    assert [step.kind for step in failure.steps].count("clock") == 1
    assert len(failure) == 7
    assert explore(replace(scenario, invariants=[ONCE]), crashes=0, expiries=0).failure is None


def lost_update(redis: Any, run: Run) -> None:
    redis.set("n", int(redis.get("n") or 0) + 1)


def watched_update(redis: Any, run: Run) -> None:
    redis.transaction(lambda pipe: watched_step(pipe), "n")


def watched_step(pipe: Any) -> None:
    n = int(pipe.get("n") or 0)
    pipe.multi()
    pipe.set("n", n + 1)


TWO = Invariant(
    "two",
    "both have counted",
    lambda view: None if view.data.get("n") == "2" else f"n is {view.data.get('n')}",
    at_end=True,
)


@pytest.mark.parametrize(("worker", "steps"), [(lost_update, 4), (watched_update, 0)])
def test_a_lost_update_is_found_and_watch_prevents_it(worker: Any, steps: int) -> None:
    scenario = of_worker(worker, invariants=[TWO], recover=None)
    failure = explore(scenario, crashes=0).failure
    assert len(failure.steps if failure else ()) == steps


def taken(redis: Any, run: Run) -> None:
    """Takes the first task in a transaction that watches the queue, and runs what it had seen."""
    with redis.pipeline() as pipe:
        while True:
            with contextlib.suppress(WatchError):
                pipe.watch("queue")
                if (task := pipe.lindex("queue", 0)) is None:
                    return
                pipe.multi()
                pipe.lpop("queue")
                pipe.execute()
                run(task)


def gives_back(actor: Actor) -> None:
    """Takes a task and puts it back, so that the queue looks as it did."""
    if task := actor.redis.lpop("queue"):
        actor.redis.lpush("queue", task)


def test_watch_sees_a_value_that_was_changed_and_changed_back() -> None:
    once = Invariant(
        "once", "a task starts once", lambda view: "twice" if view.count("start", "a") > 1 else None
    )
    scenario = of_worker(taken, workers=1, invariants=[once])
    actors = {**scenario.actors, "other": gives_back}
    found = explore(replace(scenario, actors=actors, recover=None), crashes=0, expiries=0)
    assert found.failure is None
    assert found.complete


def test_a_watch_that_was_given_up_does_not_stop_the_next_transaction() -> None:
    def worker(redis: Any, run: Run) -> None:
        with redis.pipeline() as pipe:
            pipe.watch("queue")
        redis.set("queue-was-seen", 1)
        redis.lpush("queue", "c")
        with redis.pipeline() as pipe:
            pipe.watch("other")
            pipe.multi()
            pipe.set("other", 1)
            pipe.execute()
        run("a")
        run("b")

    assert explore(of_worker(worker, workers=1), crashes=0, expiries=0).failure is None


def test_a_pipeline_without_multi_may_be_cut_by_a_crash() -> None:
    def half(view: View) -> str | None:
        return "a is there and b is not" if ("a" in view.data) != ("b" in view.data) else None

    def pair(atomic: bool) -> Scenario:
        def program(actor: Actor) -> None:
            actor.redis.pipeline(transaction=atomic).set("a", 1).set("b", 1).execute()

        both = Invariant("both", "a and b come together", half, at_end=True)
        return Scenario("pair", lambda redis: None, {"w1": program}, [both])

    assert explore(pair(atomic=True)).failure is None
    failure = explore(pair(atomic=False)).failure
    assert failure is not None
    assert [step.what for step in failure.steps] == ["SET a 1", "crashes"]


# -- what is counted -------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [Bounds(0, 0), Bounds(1, 1), Bounds(1, 1, 0), Bounds(0, 1, 1)])
def test_the_schedules_that_are_counted_are_those_that_there_are(bounds: Bounds) -> None:
    scenario = of_worker(careful, tasks=["a"])
    found = explore(
        scenario,
        crashes=bounds.crashes,
        expiries=bounds.expiries,
        preemptions=bounds.preemptions,
    )
    one_by_one = [path for path, _ in every_schedule(scenario, bounds)]
    assert found.complete
    assert found.schedules == len(one_by_one) == len({tuple(path) for path in one_by_one})
    assert found.states < sum(map(len, one_by_one))


def test_a_bound_on_preemptions_leaves_schedules_out() -> None:
    counts = [explore(naive(2, 2), crashes=0, preemptions=n).schedules for n in (0, 1, 2)]
    assert counts == sorted(set(counts))
    assert counts[-1] < explore(naive(2, 2), crashes=0).schedules


def test_beyond_the_limit_random_schedules_find_it_and_are_shortened() -> None:
    found = [explore(naive(3, 2), limit=12, seed=seed) for seed in (3, 3)]
    failure = found[0].failure
    assert failure is not None
    assert failure == found[1].failure
    assert not failure.shortest
    assert not found[0].complete
    kinds = [step.kind for step in failure.steps if not step.in_recovery]
    assert kinds == ["call", "crash"]


def test_beyond_the_limit_it_says_that_it_has_not_seen_all() -> None:
    found = explore(of_worker(careful), limit=100)
    assert (found.failure, found.complete) == (None, False)
    assert "not all" in repr(found)
    assert 0 < found.schedules < 100


# -- programs that cannot go on --------------------------------------------------------------------


def test_a_program_that_raises_is_a_failure_with_its_last_line() -> None:
    def program(actor: Actor) -> None:
        actor.redis.set("a", "text")
        actor.redis.incr("a")

    failure = alone(program).failure
    assert failure is not None
    assert failure.invariant == "no-exception"
    assert failure.wrong.startswith("w1 raised redis.exceptions.ResponseError: value is not an int")
    assert len(failure) == 2


def test_what_is_wrong_before_the_first_step_is_a_failure_too() -> None:
    def raises(redis: Any, run: Run) -> None:
        raise RuntimeError("not even one")

    def tells(actor: Actor) -> None:
        actor.record("wrong")

    failure = explore(of_worker(raises)).failure
    assert failure is not None
    assert (failure.invariant, len(failure)) == ("no-exception", 0)
    assert "RuntimeError: not even one" in failure.wrong
    rule = Invariant("right", "all is right", lambda v: "it is not" if v.count("wrong") else None)
    scenario = Scenario("tells", lambda redis: None, {"w1": tells}, [rule])
    for found in (explore(scenario).failure, timely(scenario)):
        assert found is not None
        assert found.invariant == "right"


def test_timely_lets_nobody_be_slow() -> None:
    """Each sleeps its own time and sees the clock stand exactly there."""

    def sleeper(actor: Actor) -> None:
        nap_s = int(actor.name[1:])
        for number in (1, 2, 3):
            actor.sleep(nap_s)
            late_ms = actor.now_ms - START_MS - 1000 * nap_s * number
            actor.redis.rpush("woke", f"{actor.name} {late_ms}")

    def late(view: View) -> str | None:
        return next((w for w in view.data.get("woke", ()) if not w.endswith(" 0")), None)

    rule = Invariant("timely", "all wake up in time", late)
    scenario = Scenario("sleepers", lambda redis: None, {"w2": sleeper, "w5": sleeper}, [rule])
    assert timely(scenario) is None
    assert explore(scenario, expiries=4).failure is not None  # there somebody may be slow
    all_there = Invariant("all", "", lambda v: f"{len(v.data['woke'])}", at_end=True)
    ended = timely(replace(scenario, invariants=[all_there]))
    assert ended is not None
    assert ended.wrong == "6"


def test_a_program_that_never_ends_is_cut_off_and_told_of() -> None:
    def busy(actor: Actor) -> None:
        while not actor.redis.get("ready"):
            pass

    found = alone(busy, most_steps=20)
    assert found.failure is None
    assert not found.complete
    assert found.cut == ("w1",)
    assert "it did not end in time: w1" in repr(found)
    failure = explore(Scenario("busy", lambda r: None, {"w1": busy}, [], recover=busy)).failure
    assert failure is not None
    assert failure.invariant == "program-ends"
    assert "99 times" in failure.text() or "100 times" in failure.text()


def test_a_program_that_swallows_its_own_end_does_not_hang_the_explorer() -> None:
    def stubborn(actor: Actor) -> None:
        while True:
            with contextlib.suppress(BaseException):
                actor.redis.get("x")

    assert alone(stubborn, most_steps=5).cut == ("w1",)


def test_a_program_that_cannot_be_repeated_is_told_of() -> None:
    shared: list[int] = []

    def program(actor: Actor) -> None:
        shared.append(1)
        actor.redis.set("n", len(shared))
        actor.redis.get("n")

    with pytest.raises(NotRepeatable, match="did something else"):
        explore(Scenario("shared", lambda r: None, {"w1": program, "w2": program}, []))


# -- time and chance -------------------------------------------------------------------------------


def test_time_moves_only_by_jumps_and_sleeping_costs_none() -> None:
    seen: list[tuple[float, float]] = []

    def program(actor: Actor) -> None:
        began = time.time()
        time.sleep(60)
        seen.append((began, time.time() - began))

    real = time.perf_counter()
    alone(program, code=(program,))
    assert seen[0][0] == START_MS / 1000
    assert seen[0][1] == pytest.approx(60)
    assert time.perf_counter() - real < 5


def test_another_thread_has_the_real_time_meanwhile_and_all_is_put_back() -> None:
    seen: list[float] = []

    def program(actor: Actor) -> None:
        reader = threading.Thread(target=lambda: seen.append(time.time()))
        reader.start()
        reader.join()

    module = time
    alone(program, code=(program,))
    assert abs(seen[0] - time.time()) < 60
    assert time is module


def test_a_key_with_a_time_to_live_is_gone_after_the_jump() -> None:
    def program(actor: Actor) -> None:
        actor.redis.set("k", "v", px=5000)
        actor.record("seen", actor.redis.get("k"))

    def unseen(view: View) -> str | None:
        return "it is not seen" if view.count("seen", None) else None

    def gone(view: View) -> str | None:
        return "it is gone" if "k" in view.before and "k" not in view.data else None

    for check, steps in ((unseen, 3), (gone, 2)):
        failure = alone(program, Invariant("there", "the key is there", check)).failure
        assert failure is not None
        assert len(failure) == steps
        assert (failure.steps[1].who, failure.steps[1].at_ms) == ("the clock", 5001)


def test_a_program_that_looks_at_the_clock_sees_the_time_of_its_schedule() -> None:
    def program(actor: Actor) -> None:
        actor.redis.set("k", "v", px=5000)
        actor.redis.get("other")
        actor.record("at", round(time.time() * 1000))

    def wrong(view: View) -> str | None:
        seen = [record[1] for record in view.new if record[0] == "at"]
        return "it sees another time" if seen and seen != [view.now_ms] else None

    def late(view: View) -> str | None:
        return "it sees a later time" if view.count("at", START_MS + 5001) else None

    right = Invariant("right", "a program sees the time that it is", wrong)
    assert alone(program, right, code=(program,)).failure is None
    assert alone(program, replace(right, check=late), code=(program,)).failure is not None


def test_chance_is_the_same_in_every_run_and_differs_between_actors() -> None:
    def program(actor: Actor) -> None:
        actor.redis.sadd("tokens", uuid.uuid4().hex)
        actor.redis.get("x")

    def count(view: View) -> str | None:
        return None if len(view.data["tokens"]) == 2 else f"there are {view.data['tokens']}"

    actors = {"w1": program, "w2": program}
    two = Invariant("two", "each has a token of its own", count, at_end=True)
    scenario = Scenario("chance", lambda r: None, actors, [two], code=(program,))
    assert explore(scenario, crashes=0).failure is None


# -- what programs see of Redis --------------------------------------------------------------------


def commands(redis: Any) -> list[Any]:
    """Replies of many kinds of commands."""
    add = redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = redis.pipeline()
    pipe.hset("h", mapping={"a": 1, "b": 2.5})
    pipe.hgetall("h")
    pipe.zadd("z", {"m": 1.5, "k": 2})
    pipe.zrange("z", 0, -1, withscores=True)
    plain = redis.pipeline(transaction=False).rpush("l", "x", "y").lrange("l", 0, -1)
    failing = redis.pipeline(transaction=False).incr("l").llen("l")
    return [
        *pipe.execute(),
        *plain.execute(),
        str(failing.execute(raise_on_error=False)),
        redis.set("lock", "me", nx=True, ex=10),
        redis.set("lock", "you", nx=True, ex=10),
        redis.ttl("lock"),
        redis.eval(UNLOCK, 1, "lock", "me"),
        add(keys=["n"], args=[4]),
        add(keys=["n"], args=[4], client=redis),
        redis.evalsha(redis.script_load("return {1, 'two', false}"), 0),
        redis.blpop(["none", "l"], timeout=1),
        redis.blmove("l", "m", 1, "LEFT", "RIGHT"),
        redis.brpop("m", 1),
        redis.zpopmin("z"),
        sorted(redis.scan_iter("*")),
        redis.sadd("s", 1, 2),
        sorted(redis.smembers("s")),
        redis.exists("h", "none"),
        redis.hmget("h", "a", "c"),
        redis.time()[0] > 0,
        redis.type("z"),
        redis.delete("h", "s"),
        redis.ping(),
    ]


def test_a_program_sees_what_it_sees_of_redis() -> None:
    seen: list[Any] = []
    alone(lambda actor: seen.extend(commands(actor.redis)), expiries=0)
    real = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True, protocol=2)
    assert seen == commands(real)


def test_a_blocking_pop_waits_for_a_push_and_times_out_by_a_jump() -> None:
    def consumer(actor: Actor) -> None:
        actor.record("got", actor.redis.blpop("q", timeout=5))

    def producer(actor: Actor) -> None:
        actor.redis.get("x")
        actor.redis.rpush("q", "a")

    def scenario(check: Callable[[View], str | None]) -> Scenario:
        looked = Invariant("looked", "what is looked for does not happen", check)
        return Scenario("pop", lambda r: None, {"c": consumer, "p": producer}, [looked])

    def got(view: View) -> str | None:
        return (
            "it got a" if view.count("got", ("q", "a")) or view.count("got", ["q", "a"]) else None
        )

    def nothing(view: View) -> str | None:
        return "it got nothing" if view.count("got", None) else None

    popped = explore(scenario(got), crashes=0, expiries=0).failure
    assert popped is not None
    assert [step.who for step in popped.steps] == ["p", "p", "c"]
    assert explore(scenario(nothing), crashes=0, expiries=0).failure is None
    late = explore(scenario(nothing), crashes=0, expiries=1).failure
    assert late is not None
    assert [(step.who, step.at_ms) for step in late.steps] == [("the clock", 5000), ("c", 5000)]


def test_the_lock_of_redis_py_works() -> None:
    def program(actor: Actor) -> None:
        with actor.redis.lock("lock", timeout=10, blocking_timeout=1):
            actor.record("in")
            actor.redis.get("x")
            actor.record("out")

    def both(view: View) -> str | None:
        return "both are in" if view.count("in") - view.count("out") > 1 else None

    alone_in = Invariant("one-at-a-time", "one has the lock", both)
    scenario = Scenario("lock", lambda r: None, {"w1": program, "w2": program}, [alone_in])
    assert explore(scenario, crashes=1, expiries=0).failure is None
    assert explore(scenario, crashes=0, expiries=1).failure is not None


def test_a_script_object_that_is_kept_between_explorations_is_loaded_again() -> None:
    kept: list[Any] = []

    def program(actor: Actor) -> None:
        if not kept:
            kept.append(actor.redis.register_script("return redis.call('INCR', 'n')"))
        kept[0](client=actor.redis)
        actor.redis.get("n")

    for _ in range(2):
        assert alone(program).failure is None


def test_two_threads_of_a_process_share_its_memory_and_die_together() -> None:
    def program(actor: Actor) -> None:
        box: list[str] = []

        def fill() -> None:
            actor.redis.set("filled", 1)
            box.append("full")

        actor.spawn("helper", fill)
        actor.redis.get("x")
        actor.redis.set("seen", "".join(box))

    def seen(view: View) -> str | None:
        return "it saw it" if view.data.get("seen") == "full" else None

    failure = alone(program, Invariant("apart", "threads see nothing", seen)).failure
    assert failure is not None
    assert {step.who for step in failure.steps} == {"w1", "w1 helper"}

    def alive(view: View) -> str | None:
        return "it lives" if view.data.get("filled") and "seen" not in view.data else None

    shape = Scenario("die", lambda r: None, {"w1": program}, [replace(ONCE, check=alive)])
    found = explore(shape, crashes=1, expiries=0)
    assert found.failure is not None  # the helper's step comes first; after a crash none comes
    for path, _ in every_schedule(replace(shape, invariants=[]), Bounds(1, 0)):
        assert path[-1].kind == "crash" or all(move.kind != "crash" for move in path)


# -- how it is told --------------------------------------------------------------------------------


def test_it_is_told_in_text_in_html_and_in_a_picture() -> None:
    found = explore(naive())
    assert found.failure is not None
    assert "  2. w1        crashes" in found.failure.text()
    assert found.failure.text() in found._repr_html_().replace("&gt;", ">")
    assert "nothing-lost is broken, in 3 steps" in repr(found)
    chart = found.failure.diagram()
    texts = [text.get_text() for text in chart.axes[0].texts]
    assert {"w1", "recovery", "Redis", "LPOP queue", "'a'", "crashes", "nothing"} <= set(texts)
    assert "But task a was accepted" in texts[-1]
    assert chart._repr_png_()[0].startswith(b"\x89PNG")


def test_the_command_prints_the_schedule_and_draws_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png = tmp_path / "naive.png"
    assert main(["--naive", "--png", str(png)]) == 1
    assert "2. w1        crashes" in capsys.readouterr().out
    assert png.read_bytes().startswith(b"\x89PNG")
    assert main(["--naive", "--crashes", "0"]) == 0
    assert main(["--naive", "--tasks", "2", "--each", "--crashes", "0"]) == 0
    counted = explore(naive(2, 2), crashes=0).schedules
    assert f"{counted} schedules run one by one" in capsys.readouterr().out
