"""Plants: faults planted in the protocol, to see that a check can fail.

Each replaces one operation by a wrong one: the same script with a line changed, or several round
trips where the protocol has one. `miniqueue chaos --plant NAME` and the explorer must both catch
every one of them. `Planted(client, plant)` is a client that carries out the wrong operation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from miniqueue.errors import ConfigError
from miniqueue.protocol.calls import Call, T, same, script
from miniqueue.redis_client import Client, Sent

__all__ = ["PLANTS", "Plant", "Planted", "Rewritten", "edited", "plant"]

# Yields calls and is sent their replies; yields None in the gap that the protocol does not have;
# returns the reply of the whole.
Steps = Generator[Call[Any] | None, Any, Any]


@dataclass(slots=True)
class Rewritten(Call[T]):
    """A call of a script with another text than the protocol's."""

    text: str = ""

    @property
    def command(self) -> tuple[str | int | float, ...]:
        """The words to send."""
        return ("EVAL", self.text, len(self.keys), *self.keys, *self.args)


@dataclass(frozen=True, slots=True)
class Plant:
    """A fault in one operation; `steps` carries out that operation wrongly."""

    name: str
    operation: str
    what: str
    steps: Callable[[Call[Any]], Steps]


class Planted(Client):
    """Another client's calls, with one operation replaced.

    `between` is called with the operation's name in the gap between two steps of it: there a
    failpoint may kill the process, where the protocol itself has no such place.
    """

    def __init__(
        self, inner: Client, plant: Plant, between: Callable[[str], object] = lambda name: None
    ) -> None:
        super().__init__(inner.raw)
        self._inner = inner
        self._plant = plant
        self._between = between

    def run(self, call: Call[T]) -> T:
        """Carry out a call, the planted one step by step."""
        if call.name != self._plant.operation:
            return self._inner.run(call)
        steps = self._plant.steps(call)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply = self._between(call.name) if step is None else self._inner.run(step)

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        """One after the other, as a pipeline does."""
        if all(call.name != self._plant.operation for call in calls):
            return self._inner.send(calls)
        return Sent(lambda: [self.run(call) for call in calls])


def plant(name: str) -> Plant:
    """The plant of this name. Raises ConfigError."""
    try:
        return PLANTS[name]
    except KeyError:
        raise ConfigError(f"no plant is called {name!r}; there are {', '.join(PLANTS)}") from None


# -- one line of a script changed ------------------------------------------------------------------


def edited(operation: str, line: str, wrong: str) -> Callable[[Call[Any]], Steps]:
    """The steps of an operation whose script has a wrong line."""

    def steps(call: Call[Any]) -> Steps:
        return (yield _with(call, _edit(operation, line, wrong), ()))

    return steps


def _edit(operation: str, line: str, wrong: str) -> str:
    text = script(operation)
    assert line in text, f"{operation}.lua has changed: plant this fault anew"
    return text.replace(line, wrong)


def _with(call: Call[Any], text: str, more: Sequence[str]) -> Rewritten[Any]:
    """The same call of another text, with more arguments."""
    return Rewritten(call.name, call.keys, [*call.args, *more], call.parse, text)


# -- several round trips instead of one ------------------------------------------------------------

POP = "redis.call('LPOP', KEYS[list], most - #told) or {}"
OVER = "redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])"
LOOK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
"""


def _given(call: Call[Any]) -> str:
    """In Lua: the ids that follow the arguments of a call."""
    return f"{{unpack(ARGV, {len(call.args) + 1})}}"


def _claim_in_two(call: Call[Any]) -> Steps:
    """Pop ids, then mark them: between the two they are in no structure."""
    ids: list[str] = []
    for ready in call.keys[7:]:
        if (left := int(call.args[2]) - len(ids)) > 0:
            ids += (yield Call("LPOP", (ready,), (left,), same)) or []
    if ids:
        yield None
    given = _edit("claim", POP, f"list == 8 and {_given(call)} or {{}}")
    return (yield _with(call, given, ids))


def _finish_first(call: Call[Any]) -> Steps:
    """Tell the end of a task before it runs."""
    claims = yield call
    running, finished, events, stats = (call.keys[i] for i in (0, 3, 4, 6))
    prefix, worker, _, _, kept, keep_ms = call.args
    for task in claims.tasks:
        ended = (task.id, task.attempt, "null", claims.now_ms, 0)
        args = (prefix, worker, keep_ms, kept, *ended)
        yield Call("complete", (running, finished, events, stats), args, same)
    return claims


def _blind_reclaim(call: Call[Any]) -> Steps:
    """Look for leases that ran out, then take those tasks back whatever happened since."""
    ids = yield Rewritten("look", call.keys[:1], call.args[1:2], same, LOOK)
    if not ids:
        return 0
    yield None
    return (yield _with(call, _edit("reclaim", OVER, _given(call)), ids))


def _promote_in_two(call: Call[Any]) -> Steps:
    """Remove due tasks from the scheduled set, then put them into their lists."""
    ids = yield Rewritten("look", call.keys[:1], call.args[1:2], same, LOOK)
    if not ids:
        return 0
    yield Call("ZREM", call.keys[:1], ids, int)
    yield None
    return (yield _with(call, _edit("promote", OVER, _given(call)), ids))


PLANTS = {
    p.name: p
    for p in (
        Plant(
            "no-fence",
            "complete",
            "complete does not look at the attempt: a stale worker overwrites a result",
            edited("complete", "t[1] == attempt and t[2] == 'running'", "t[1]"),
        ),
        Plant(
            "claim-in-two", "claim", "claim pops in one call and marks in the next", _claim_in_two
        ),
        Plant("finish-first", "claim", "a task is told as done before it runs", _finish_first),
        Plant(
            "uncounted",
            "claim",
            "claim does not count attempts: a task that kills its workers goes on for ever",
            edited("claim", "(tonumber(t[1]) or 0) + 1", "1"),
        ),
        Plant(
            "blind-reclaim",
            "reclaim",
            "reclaim looks in one call and moves in the next, without looking again",
            _blind_reclaim,
        ),
        Plant(
            "promote-in-two",
            "promote",
            "promote removes due tasks in one call and queues them in the next",
            _promote_in_two,
        ),
        Plant(
            "never-renewed",
            "extend",
            "extend says yes and leaves the lease as it is",
            edited("extend", "redis.call('ZADD', KEYS[1], 'XX', deadline, id)", ""),
        ),
        Plant(
            "forgetful-release",
            "release",
            "release ends the lease and does not put the task back",
            edited("release", "redis.call('LPUSH', lists[t[3]] or lists.normal, id)", ""),
        ),
    )
}
