"""Inspector: the read side. It changes nothing, and every read is bounded.

inspector = Inspector(Queue())
inspector.queues(), inspector.workers(), inspector.tasks(state="failed"), inspector.events()
inspector.task(id), inspector.timeline(id), inspector.explain(id), inspector.check()
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from miniqueue.checkup import check, read, sets
from miniqueue.errors import ConfigError, MiniQueueError
from miniqueue.explain import Facts, explain
from miniqueue.protocol.calls import Call, pairs, redis_time, same
from miniqueue.protocol.keys import QueueKeys
from miniqueue.protocol.operations import Protocol
from miniqueue.queue import Queue
from miniqueue.registry import Spec
from miniqueue.task import PRIORITIES, Task, TaskState, queue_of, to_int
from miniqueue.views import (
    Event,
    Page,
    Piece,
    QueueInfo,
    WorkerInfo,
    number,
    parse_events,
    parse_pieces,
    parse_worker,
)

__all__ = ["Inspector"]

PAGE = 100  # ids read in one round trip
SCAN = 2000  # ids looked at in one call: of tasks(), whatever the filter lets through; of explain()
EVENT_ID = re.compile(r"[0-9]{1,19}(-[0-9]{1,19})?")
EVENTS = 10_000  # the newest ones, in which timeline() looks for those of a task


class Inspector:
    """Reads through the client of a Queue; other queues on the same Redis can be named."""

    def __init__(self, queue: Queue | None = None) -> None:
        self.queue = Queue() if queue is None else queue
        self._client = self.queue.client
        self._shared = self.queue.protocol.roster.keys

    def task(self, task_id: str) -> Task:
        """Raises TaskNotFound."""
        return self.queue.get(task_id)

    def tasks(
        self,
        state: str | None = None,
        *,
        queue: str | None = None,
        name: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Tasks of one queue, or of one state or function name of it; at most `limit`.

        Waiting tasks come in the order in which they start, ended ones newest first. A page can be
        short, even empty, where a filter lets little through: go on while there is a cursor. Tasks
        that move between two pages may be seen twice or missed. Raises ConfigError.
        """
        keys = self._keys(queue)
        sources = _sources(keys, _state(state))
        source, offset = _cursor(cursor, len(sources))
        found: list[Task] = []
        looked = 0
        while source < len(sources) and len(found) < limit and looked < SCAN:
            ids = self._client.run(sources[source](offset, PAGE))
            for task in self._read(keys, ids):
                offset, looked = offset + 1, looked + 1
                if task is not None and state in (None, task.state) and name in (None, task.name):
                    found.append(task)
                    if len(found) == limit:
                        break
            else:
                if len(ids) < PAGE:
                    source, offset = source + 1, 0
        return Page(found, f"{source}-{offset}" if source < len(sources) else None)

    def now_ms(self) -> int:
        """Redis' clock."""
        return self._client.run(redis_time())

    def queue_names(self) -> list[str]:
        """The names of all queues that were ever used, in order; at most 1,000."""
        members: Call[list[str]] = Call(
            "SSCAN", (self._shared.queues,), (0, "COUNT", 1000), lambda r: list(r[1])
        )
        return sorted({*self._client.run(members), self.queue.name})

    def queues(self) -> list[QueueInfo]:
        """All queues, in numbers: a round trip for each."""
        return [self.queue_info(name) for name in self.queue_names()]

    def queue_info(self, name: str) -> QueueInfo:
        """One queue in numbers."""
        keys = self._keys(name)
        calls: list[Call[Any]] = [
            redis_time(),
            Call("EXISTS", (keys.paused,), (), bool),
            Call("HGETALL", (keys.stats,), (), pairs),
            *(Call("LLEN", (key,), (), int) for key in keys.ready),
            *(Call("ZCARD", (key,), (), int) for key in sets(keys).values()),
            *(Call("LINDEX", (key,), (0,), same) for key in keys.ready),
        ]
        now, paused, stats, *rest = self._client.run_many(calls)
        lengths, cards, heads = rest[:3], rest[3:8], [head for head in rest[8:] if head]
        waits = [now - task.enqueued_ms for task in self._read(keys, heads) if task is not None]
        scheduled, deferred, running, failed, finished = cards
        return QueueInfo(
            name=name,
            paused=paused,
            ready=dict(zip(PRIORITIES, lengths, strict=True)),
            scheduled=scheduled,
            deferred=deferred,
            running=running,
            failed=failed,
            finished=finished,
            oldest_wait_s=round(max(waits, default=0) / 1000, 3),
            stats={verb: to_int(count) or 0 for verb, count in sorted(stats.items())},
        )

    def counts(self, queue: str | None = None) -> dict[str, int]:
        """What workers have counted in a queue (metrics.py), by "KIND NAME"."""
        key = self._keys(queue).counts
        found = self._client.run(Call("HGETALL", (key,), (), pairs))
        return {field: max(0, to_int(text) or 0) for field, text in found.items()}

    def workers(self) -> list[WorkerInfo]:
        """Workers that beat in the last minute, at most 1,000, newest beat first."""
        listed: Call[list[str]] = Call("ZREVRANGE", (self._shared.workers,), (0, 999), list)
        now, ids = self._client.run_many([redis_time(), listed])
        if not ids:
            return []
        hashes = self._client.run_many(
            [Call("HGETALL", (self._shared.worker(i),), (), pairs) for i in ids]
        )
        return [parse_worker(i, h, now) for i, h in zip(ids, hashes, strict=True) if h]

    def functions(self) -> dict[str, Spec]:
        """Task functions that workers have announced, by name."""
        return self._client.run(self.queue.protocol.roster.specs())

    def logs(self, task_id: str) -> list[str]:
        """The log lines that were kept with a task. Raises TaskNotFound."""
        self.task(task_id)
        keys = self._keys(queue_of(task_id))
        return self._client.run(Call("LRANGE", (keys.logs(task_id),), (0, -1), list))

    def output(self, task_id: str, *, after: str = "0", limit: int = 500) -> list[Piece]:
        """Pieces of output that a task emitted, those after a piece's id. Raises TaskNotFound."""
        self.task(task_id)
        _check_id(after)
        protocol = Protocol(self.queue.settings, queue_of(task_id))
        found = protocol.read_output(task_id, after, block_ms=0, limit=limit)
        return parse_pieces(self._client.run(found))

    def events(
        self, *, after: str | None = None, limit: int = 100, queue: str | None = None
    ) -> list[Event]:
        """Events in order: those after an event id, or the last `limit`."""
        key = self._keys(queue).events
        if after is not None:
            _check_id(after)
            return self._client.run(
                Call("XRANGE", (key,), (f"({after}", "+", "COUNT", limit), parse_events)
            )
        return self._client.run(
            Call("XREVRANGE", (key,), ("+", "-", "COUNT", limit), parse_events)
        )[::-1]

    def timeline(self, task_id: str) -> list[Event]:
        """What the stream still knows of one task, in order.

        The newest 10,000 events are searched.
        """
        events = self.events(limit=EVENTS, queue=queue_of(task_id))
        return [own for event in events if (own := event.of_task(task_id)) is not None]

    def explain(self, task_id: str) -> list[str]:
        """Plain sentences: where it is, why it waits, why it ran twice. Raises TaskNotFound."""
        keys = self._keys(queue_of(task_id))
        task = self.task(task_id)
        rank = PRIORITIES.index(task.priority)
        now, paused, lease, place, *ahead = self._client.run_many(
            [
                redis_time(),
                Call("EXISTS", (keys.paused,), (), bool),
                Call("ZSCORE", (keys.running,), (task_id,), number),
                Call("LPOS", (keys.ready[rank],), (task_id, "MAXLEN", SCAN), same),
                *(Call("LLEN", (key,), (), int) for key in keys.ready[:rank]),
            ]
        )
        workers = sum(worker.alive and worker.queue == task.queue for worker in self.workers())
        parents = self._states(keys, task.after)
        return explain(task, Facts(now, paused, workers, place, sum(ahead), lease, parents))

    def _states(self, keys: QueueKeys, ids: Sequence[str]) -> dict[str, str | None]:
        calls = [Call("HGET", (keys.task(i),), ("state",), same) for i in ids]
        return dict(zip(ids, self._client.run_many(calls), strict=True)) if ids else {}

    def check(self, queue: str | None = None) -> list[str]:
        """Sentences about whatever breaks the rules of the protocol; empty when all is well.

        Looks at a still queue: on a busy one a task may move between two reads and be reported.
        """
        return check(self._client, self._keys(queue))

    # -- reading ---------------------------------------------------------------------------------

    def _keys(self, queue: str | None) -> QueueKeys:
        name = self.queue.name if queue is None else queue
        return QueueKeys(self.queue.settings.namespace, name)

    def _read(self, keys: QueueKeys, ids: Sequence[str]) -> list[Task | None]:
        return read(self._client, keys, ids)


def overview(inspector: Inspector) -> str:
    """Queues and workers as text, for `python -m miniqueue.inspector`."""
    lines = ["queue             waiting  scheduled  running  failed  finished"]
    for q in inspector.queues():
        name = q.name + (" (paused)" if q.paused else "")
        lines.append(
            f"{name:16} {q.waiting:8} {q.scheduled:10} {q.running:8} {q.failed:7} {q.finished:9}"
        )
    lines += ["", "worker                            queue      done  last beat  doing"]
    for w in inspector.workers():
        doing = " ".join(w.doing) or "-"
        lines.append(f"{w.id:33} {w.queue:8} {w.done:6} {w.beat_age_s:8.1f} s  {doing}")
    return "\n".join(lines)


def _check_id(text: str) -> None:
    if not EVENT_ID.fullmatch(text):
        raise ConfigError(f"{text!r} is not the id of an event, like 1700000000000-0")


def _sources(
    keys: QueueKeys, state: TaskState | None
) -> list[Callable[[int, int], Call[list[str]]]]:
    """Readers of id pages: one for each structure that can hold tasks of this state."""

    def of_list(key: str) -> Callable[[int, int], Call[list[str]]]:
        return lambda at, n: Call("LRANGE", (key,), (at, at + n - 1), list)

    def of_set(key: str, command: str) -> Callable[[int, int], Call[list[str]]]:
        return lambda at, n: Call(command, (key,), (at, at + n - 1), list)

    ready = [of_list(key) for key in keys.ready]
    of_state = {
        TaskState.RUNNING: of_set(keys.running, "ZRANGE"),
        TaskState.SCHEDULED: of_set(keys.scheduled, "ZRANGE"),
        TaskState.DEFERRED: of_set(keys.deferred, "ZRANGE"),
        TaskState.FAILED: of_set(keys.failed, "ZREVRANGE"),
        TaskState.SUCCEEDED: of_set(keys.finished, "ZREVRANGE"),
    }
    if state is None:
        running, *others = of_state.values()
        return [running, *ready, *others]
    if state is TaskState.QUEUED:
        return ready
    ended = TaskState.SUCCEEDED if state is TaskState.CANCELLED else state
    return [of_state[ended]]


def _state(text: str | None) -> TaskState | None:
    if text is not None and text not in list(TaskState):
        raise ConfigError(f"no state is called {text!r}; there are {', '.join(TaskState)}")
    return None if text is None else TaskState(text)


def _cursor(text: str | None, sources: int) -> tuple[int, int]:
    if text is None:
        return 0, 0
    source, _, offset = text.partition("-")
    if not (source + offset).isdecimal() or not offset or int(source or sources) >= sources:
        raise ConfigError(f"cursor {text!r} is not one that an earlier page gave")
    return int(source), int(offset)


if __name__ == "__main__":
    try:
        print(overview(Inspector()))
    except MiniQueueError as error:
        sys.exit(f"miniqueue.inspector: {error}")
