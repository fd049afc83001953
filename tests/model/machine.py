"""The machine: hypothesis carries out operations on a real queue and on the model, side by side.

Time is moved with the data: `age` shifts every score, TTL and expiry of the queue, so hours pass at
once. Between two operations it shifts them by a millisecond, so that the order of what happened is
the order of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from miniqueue.errors import MiniQueueError
from miniqueue.inspector import Inspector
from miniqueue.protocol.calls import Call, redis_time
from miniqueue.protocol.keys import QueueKeys
from miniqueue.protocol.records import Completion, Failure, Note, Postponement, Submission
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from miniqueue.task import PRIORITIES
from miniqueue.views import scores
from tests.model.model import ENDED, HOUR, KEEP, KEEP_FAILED, LEASE, MOST, Model, Task

__all__ = ["Machine"]

Pairs = list[tuple[str, int]]
UNIQUE = ("k1", "k2")
SETS = {
    "scheduled": ["scheduled"],
    "deferred": ["deferred"],
    "running": ["running"],
    "failed": ["failed"],
    "finished": ["succeeded", "cancelled"],
}
AGE = """
local prefix, ms = ARGV[1], ARGV[2]
for _, set in ipairs({'scheduled', 'deferred', 'running', 'failed', 'finished'}) do
  for _, id in ipairs(redis.call('ZRANGE', prefix .. set, 0, -1)) do
    redis.call('ZINCRBY', prefix .. set, -ms, id)
  end
end
for i = 3, #ARGV do
  local key = prefix .. ARGV[i]
  local ttl = redis.call('PTTL', key)
  if ttl > 0 then redis.call('PEXPIRE', key, ttl - ms) end
  if key:find(':task:', 1, true) and redis.call('HEXISTS', key, 'expires_ms') == 1 then
    redis.call('HINCRBY', key, 'expires_ms', -ms)
  end
end
"""

WEIGHTS = {"send": 5, "claim": 6, "hold": 8, "manage": 6, "look_after": 4, "time_passes": 2}


class Machine(RuleBasedStateMachine):
    """Give it a client; the database behind it is emptied for each example.

    A step is one number, from which all choices follow: what hypothesis draws for rules with
    arguments of their own repeats itself so much that most of it would be refused calls. It still
    leaves out the steps that a failure does not need; the notes say what the others did.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        client.raw.flushdb()
        settings = Settings(
            lease_s=LEASE / 1000, keep_s=KEEP / 1000, keep_failed_s=KEEP_FAILED / 1000,
            max_queued=MOST,
        )  # fmt: skip
        self.queue = Queue(settings=settings, client=client)
        self.client, self.protocol = client, self.queue.protocol
        self.inspector = Inspector(self.queue)
        self.model = Model()
        self.random = Random(0)
        self.made = 0
        self.ids: list[str] = []
        self.handed: Pairs = []  # all that was ever claimed, stale or not

    @rule(number=st.integers(0, 2**32 - 1))
    def step(self, number: int) -> None:
        self.random = Random(number)
        (kind,) = self.random.choices([*WEIGHTS], [*WEIGHTS.values()])
        idle = kind == "claim" and not self.model.members("queued") and number % 8
        getattr(self, "send" if idle or not self.ids else kind)()

    # -- clients ---------------------------------------------------------------------------------

    def send(self) -> None:
        sent: list[Task] = []
        for _ in range(self.random.randint(1, 3)):
            self.made += 1
            sent.append(self.task(f"t{self.made:03}", [*self.ids, *(task.id for task in sent)]))
        submissions = [submission(task) for task in sent]
        said = self.both(self.protocol.enqueue(submissions), self.model.enqueue(*sent))
        if isinstance(said, list):
            self.ids = list(dict.fromkeys([*self.ids, *said]))

    def task(self, task_id: str, known: list[str]) -> Task:
        """A task with random options; now and then its id or a parent is wrong."""
        r, after = self.random, []
        if known and r.random() < 0.3:
            after = r.choices(known[-6:], k=r.randint(1, 2))
        if r.random() < 0.03:
            after.append("nobody")
        if r.random() < 0.03 and known and self.model.get(known[-1]):
            task_id = known[-1]
        return Task(
            task_id,
            after=tuple(after),
            priority=r.choice(PRIORITIES),
            limit=r.randint(1, 3),
            delay=self.hours(),
            expiry=self.hours(),
            unique=r.choice([*UNIQUE, *[""] * 4]),
            digest=r.choice(["same", "same", "same", "else"]),
        )

    def manage(self) -> None:
        failed, paused = self.model.members("failed"), self.model.paused
        useful = {"cancel": True, "resume": paused, "retry": failed, "purge": failed}
        verb = self.verb({**useful, "pause": self.random.random() < 0.2})
        words = [self.an_id("failed" if verb in ("retry", "purge") else "running")]
        words = [] if verb in ("pause", "resume") else words
        self.both(getattr(self.protocol, verb)(*words), getattr(self.model, verb)(*words))

    # -- workers ---------------------------------------------------------------------------------

    def claim(self) -> None:
        limit, first = self.random.randint(1, 4), self.random.choice(PRIORITIES)
        worker = self.random.choice(["w1", "w2", "w3"])
        claims = self.client.run(self.protocol.claim(worker, limit, first=first))
        pairs = [(task.id, task.attempt) for task in claims.tasks]
        wanted = self.model.claim(limit, first)
        note(f"claim({limit}, {first!r}) -> {pairs}")
        assert pairs == wanted, f"claim gave {pairs}, where the model says {wanted}"
        for task in claims.tasks:
            known = self.model.tasks[task.id]
            assert (task.max_attempts, task.released) == (known.limit, known.released)
        self.handed += pairs

    def hold(self) -> None:
        """What a worker does with tasks that it has, or believes to have."""
        verbs = ["complete", "fail", "release", "extend", "postpone", "ack", "speak"]
        tasks = self.model.members("running")
        running = [(task.id, task.attempt) for task in tasks]
        stale = [(task.id, n) for task in tasks for n in range(1, task.attempt)]
        pools = [pool for pool in (running, running, stale, self.handed[-8:]) if pool]
        if pools:
            held = [self.random.choice(self.random.choice(pools)) for _ in range(3)]
            held = held[: self.random.choice([1, 1, 2, 3])]
            getattr(self, self.random.choice(verbs))(held)

    def extend(self, held: Pairs) -> None:
        self.both(self.protocol.extend(held), [self.model.extend(*pair) for pair in held])

    def complete(self, held: Pairs) -> None:
        ended = [Completion(*pair, str(self.random.random()), 1000, 2.5) for pair in held]
        expected = [self.model.complete(e.id, e.attempt, e.result) for e in ended]
        self.both(self.protocol.complete("w", ended), expected)

    def fail(self, held: Pairs) -> None:
        state, wait = (
            self.random.choice(["scheduled", "failed", "failed", "cancelled"]),
            self.hours(),
        )
        failure = Failure(*held[0], state, "{}", "E", wait, 1000, 2.5)
        self.both(self.protocol.fail("w", failure), self.model.fail(*held[0], state, wait))

    def release(self, held: Pairs) -> None:
        expected = [self.model.release(*pair) for pair in reversed(held)][::-1]
        self.both(self.protocol.release("w", held), expected)

    def postpone(self, held: Pairs) -> None:
        wait = self.hours()
        put_off = Postponement(*held[0], wait, "rate")
        self.both(self.protocol.postpone("w", put_off), self.model.postpone(*held[0], wait))

    def ack(self, held: Pairs) -> None:
        self.both(self.protocol.ack(*held[0]), self.model.ack(*held[0]))

    def speak(self, held: Pairs) -> None:
        p, pair = self.protocol, held[0]
        calls = [p.progress(*pair, "1"), p.save(*pair, "1"), p.emit(*pair, "piece")]
        for call in (*calls, p.note(Note(*pair, ["a line"]))):
            self.both(call, self.model.held(*pair) is not None)

    # -- maintenance and time --------------------------------------------------------------------

    def look_after(self) -> None:
        now, members = self.model.now, self.model.members
        useful = {
            "promote": members("scheduled", until=now),
            "reclaim": members("running", until=now),
            "advance": self.model.ended,
            "forget": members(*ENDED, until=now),
        }
        verb = self.verb(useful)
        self.both(getattr(self.protocol, verb)(), getattr(self.model, verb)())

    def time_passes(self) -> None:
        self.age(self.random.randint(1, 3) * HOUR)

    def age(self, ms: int) -> None:
        """Let time pass for every task."""
        self.model.now += ms
        names = [f"task:{i}" for i in self.ids] + [f"unique:{key}" for key in UNIQUE]
        self.client.raw.eval(AGE, 0, self.protocol.keys.prefix, ms, *names)

    # -- choosing --------------------------------------------------------------------------------

    def hours(self) -> int:
        return HOUR * self.random.choice([0, 0, 0, 1, 2, 3])

    def verb(self, useful: dict[str, Any]) -> str:
        """One of the verbs that find something to do; now and then, or where none does, any."""
        verbs = [verb for verb, found in useful.items() if found]
        return self.random.choice(verbs if verbs and self.random.random() < 0.9 else [*useful])

    def an_id(self, state: str) -> str:
        """A task in this state, if there is one, or any task."""
        fitting = [task.id for task in self.model.members(state)]
        return self.random.choice(fitting if fitting and self.random.random() < 0.8 else self.ids)

    # -- comparing -------------------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        """All that can be seen is as the model says, and the inspector finds nothing wrong."""
        seen, wanted = observed(self.client, self.protocol.keys, self.ids), expected(self.model)
        for what in wanted:
            assert seen[what] == wanted[what], (
                f"{what}: {seen[what]}, where the model says {wanted[what]}"
            )
        problems = self.inspector.check()
        assert problems == [], problems
        self.age(1)

    def both(self, call: Call[Any], expected: Any) -> Any:
        """Carry out the call; its reply, or the name of its error, is the one of the model."""
        try:
            reply = self.client.run(call)
        except MiniQueueError as error:
            reply = type(error).__name__
        note(f"{call.name}{call.args} -> {reply}")
        assert reply == expected, f"{call.name}: {reply!r}, where the model says {expected!r}"
        return reply


def submission(task: Task) -> Submission:
    """The model's task as it is sent."""
    return Submission(
        task.id, "echo", "[]", "{}", task.priority, task.limit, delay_ms=task.delay,
        expiry_ms=task.expiry, unique=task.unique, digest=task.digest, after=task.after,
    )  # fmt: skip


def observed(client: Client, keys: QueueKeys, ids: Sequence[str]) -> dict[str, Any]:
    """All that can be seen of a queue, in one round trip. Times are tenths of an hour from now."""
    hash_of = ("state", "attempt", "released", "result", "acked", "cancel", "expires_ms")
    calls: list[Call[Any]] = [redis_time()]
    calls += [Call("LRANGE", (key,), (0, -1), list) for key in (*keys.ready, keys.ended)]
    calls += [Call("ZRANGE", (keys.prefix + s,), (0, -1, "WITHSCORES"), scores) for s in SETS]
    calls += [Call("HMGET", (keys.task(i),), hash_of, list) for i in ids]
    calls += [Call("LRANGE", (keys.children(i),), (0, -1), list) for i in ids]
    calls += [Call("GET", (keys.unique(key),), (), str) for key in UNIQUE]
    calls += [Call("EXISTS", (keys.paused,), (), bool)]
    now, *replies = client.run_many(calls)
    lists, sets, rest = replies[:4], replies[4:9], replies[9:]
    hashes, children = rest[: len(ids)], rest[len(ids) : 2 * len(ids)]
    return {
        "ready": lists[:3],
        "ended": lists[3],
        "sets": [[(i, tenths(score - now)) for i, score in found] for found in sets],
        "tasks": {
            i: (h[0], int(h[1] or 0), int(h[2] or 0), h[3] or "", int(h[4] or 0), *map(bool, h[5:]))
            for i, h in zip(ids, hashes, strict=True)
            if h[0]
        },
        "children": {i: found for i, found in zip(ids, children, strict=True) if found},
        "unique": rest[2 * len(ids) : -1],
        "paused": rest[-1],
    }


def expected(model: Model) -> dict[str, Any]:
    """The same, as the model has it."""
    queued, keys = model.members("queued"), [model.unique.get(key) for key in UNIQUE]
    sets = [model.members(*states) for states in SETS.values()]
    known = filter(None, map(model.get, model.tasks))
    return {
        "ready": [[t.id for t in queued if t.priority == p] for p in PRIORITIES],
        "ended": model.ended,
        "sets": [[(t.id, tenths(t.at - model.now)) for t in found] for found in sets],
        "tasks": {
            t.id: (t.state, t.attempt, t.released, t.result, t.acked, t.cancel, t.expires > 0)
            for t in known
        },
        "children": {i: found for i, found in model.children.items() if found},
        "unique": [f"{t.digest} {t.id}" if t and t.until > model.now else "None" for t in keys],
        "paused": model.paused,
    }


def tenths(ms: float) -> int:
    """Tenths of an hour, so that the time which the test itself takes does not show."""
    return round(ms * 10 / HOUR)
