"""Every Redis key of miniqueue, its type and its members. Nothing else builds a key.

`mq` is the namespace setting; M stands for `mq:{queue}`. The braces are a hash tag: all keys of one
queue live on one node of a Redis Cluster, so one script may touch them together.

| key | type | members |
|---|---|---|
| M:ready:high, M:ready:normal, M:ready:low | LIST | ids that may start, the next one at the left |
| M:scheduled | ZSET | ids by the time they are due, ms |
| M:deferred | ZSET | ids of tasks that wait for others, by the time they were sent, ms |
| M:running | ZSET | ids by the deadline of their lease, ms; the only index of running tasks |
| M:failed | ZSET | ids by the time they are forgotten, ms (the dead-letter set) |
| M:finished | ZSET | ids of succeeded and cancelled tasks by the time they are forgotten, ms |
| M:task:ID | HASH | the task: name, args, state, attempt, result, … |
| M:logs:ID | LIST | log lines of a task, capped |
| M:output:ID | STREAM | pieces of output that a task has emitted, capped |
| M:rate:NAME | STRING | the next start that a function's rate allows, ms, with a TTL |
| M:done:ID | LIST | tokens for clients that wait for the task, short-lived |
| M:children:ID | LIST | ids of the tasks that wait for a task |
| M:ended | LIST | ids of ended tasks whose children are still to be told |
| M:stats | HASH | counters by verb |
| M:counts | HASH | what workers count by function: ends, waits and runs by duration; capped |
| M:events | STREAM | what happened, capped: verb, tasks, worker |
| M:unique:KEY | STRING | idempotency key: task id and digest of its body, with a TTL |
| M:wake | LIST | hints that wake idle workers |
| M:cron | HASH | schedule: cron expression, task and next time, as JSON |
| M:paused | STRING | exists while the queue is paused |
| mq:queues | SET | names of queues |
| mq:workers | ZSET | worker ids by their last beat, ms |
| mq:worker:ID | HASH | what a worker says of itself, with a TTL |
| mq:functions | HASH | task function: signature and options, announced by workers |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from miniqueue.task import PRIORITIES

__all__ = ["QueueKeys", "SharedKeys"]


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one queue.

    >>> QueueKeys("mq", "default").task("00ff")
    'mq:{default}:task:00ff'
    """

    namespace: str
    queue: str
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        prefix = f"{self.namespace}:{{{self.queue}}}:"
        object.__setattr__(self, "prefix", prefix)
        for name in (
            "scheduled",
            "deferred",
            "ended",
            "cron",
            "running",
            "failed",
            "finished",
            "stats",
            "counts",
            "events",
            "wake",
            "paused",
        ):
            object.__setattr__(self, name, prefix + name)
        object.__setattr__(self, "ready", tuple(f"{prefix}ready:{p}" for p in PRIORITIES))

    ready: tuple[str, ...] = field(init=False)
    scheduled: str = field(init=False)
    deferred: str = field(init=False)
    ended: str = field(init=False)
    cron: str = field(init=False)
    running: str = field(init=False)
    failed: str = field(init=False)
    finished: str = field(init=False)
    stats: str = field(init=False)
    counts: str = field(init=False)
    events: str = field(init=False)
    wake: str = field(init=False)
    paused: str = field(init=False)

    def task(self, task_id: str) -> str:
        return f"{self.prefix}task:{task_id}"

    def logs(self, task_id: str) -> str:
        return f"{self.prefix}logs:{task_id}"

    def output(self, task_id: str) -> str:
        return f"{self.prefix}output:{task_id}"

    def rate(self, name: str) -> str:
        return f"{self.prefix}rate:{name}"

    def done(self, task_id: str) -> str:
        return f"{self.prefix}done:{task_id}"

    def children(self, task_id: str) -> str:
        return f"{self.prefix}children:{task_id}"

    def unique(self, key: str) -> str:
        return f"{self.prefix}unique:{key}"


@dataclass(frozen=True)
class SharedKeys:
    """The keys that all queues of a namespace share.

    >>> SharedKeys("mq").worker("w1")
    'mq:worker:w1'
    """

    namespace: str

    @property
    def queues(self) -> str:
        return f"{self.namespace}:queues"

    @property
    def workers(self) -> str:
        return f"{self.namespace}:workers"

    @property
    def functions(self) -> str:
        return f"{self.namespace}:functions"

    def worker(self, worker_id: str) -> str:
        return f"{self.namespace}:worker:{worker_id}"
