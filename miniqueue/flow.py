"""Flow: chain, group and chord, all built on `after`: tasks that wait for tasks.

    chain(queue, step(add, 1, 2), step(double)).wait(5)            # double gets the result of add
    group(queue, [step(add, n, n) for n in range(3)])              # side by side
    chord(queue, [step(add, n, n) for n in range(3)], step(total)) # total gets the list of results

Each is one round trip, accepted as a whole or not at all. A failed task fails all that wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from miniqueue.errors import ConfigError
from miniqueue.options import Takes
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue, TaskHandle
from miniqueue.registry import TaskFunction

__all__ = ["Step", "chain", "chord", "group", "step"]


@dataclass(frozen=True)
class Step:
    """A call that has not been sent: a function (with its options) and arguments."""

    function: TaskFunction[..., Any] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def step(function: TaskFunction[..., Any] | str, /, *args: Any, **kwargs: Any) -> Step:
    """A call for chain(), group() or chord(): `step(add.options(priority="high"), 1, 2)`."""
    return Step(function, args, kwargs)


def chain(queue: Queue, *steps: Step) -> TaskHandle:
    """One after another; each function's first argument is the result of the one before it.

    Gives the handle of the last. Raises as Queue.enqueue.
    """
    made: list[Submission] = []
    for i, one in enumerate(steps):
        after = (made[-1].id,) if i else ()
        made.append(_made(queue, one, after, "result" if i else "nothing"))
    return TaskHandle(_sent(queue, made)[-1], queue)


def group(queue: Queue, steps: Sequence[Step]) -> list[TaskHandle]:
    """Side by side; gives a handle for each."""
    made = [_made(queue, one, (), "nothing") for one in steps]
    return [TaskHandle(task_id, queue) for task_id in _sent(queue, made)]


def chord(queue: Queue, steps: Sequence[Step], then: Step) -> TaskHandle:
    """Side by side, then one that gets the list of their results. Gives the handle of that one."""
    made = [_made(queue, one, (), "nothing") for one in steps]
    last = _made(queue, then, tuple(one.id for one in made), "results")
    return TaskHandle(_sent(queue, [*made, last])[-1], queue)


def _made(queue: Queue, one: Step, after: tuple[str, ...], takes: Takes) -> Submission:
    spec = queue.spec(one.function)
    spec = spec.but({"after": (*spec.options.after, *after), "takes": takes})
    return queue.prepare(spec, one.args, one.kwargs)


def _sent(queue: Queue, made: Sequence[Submission]) -> list[str]:
    if not made:
        raise ConfigError("a flow needs at least one step")
    if len(made) > queue.settings.max_bulk:
        raise ConfigError(
            f"{len(made):,} tasks in one flow, the limit is {queue.settings.max_bulk:,} "
            "(MINIQUEUE_MAX_BULK)"
        )
    return queue.submit(made)
