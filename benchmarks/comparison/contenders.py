"""Who is measured: each peer's driver, requirements, setting, and what it promises.

A figure without its promise says little: a queue that forgets a task as soon as it hands it out,
or that keeps no results, has less to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONTENDERS", "Contender", "chosen"]

AT_LEAST = "at least once"
AT_MOST = "at most once"
UNGUARDED = "never recovered"  # leases are written, and nobody looks for those that have run out


@dataclass(frozen=True, slots=True)
class Contender:
    """One row. Without requirements it runs in the interpreter that runs the benchmark.

    `share` of --tasks is what the row takes: a slow peer fewer, so that all rows take seconds.
    """

    name: str
    driver: str
    what: str
    requires: tuple[str, ...] = ()
    setting: str = ""
    delivery: str = AT_LEAST
    results: bool = True
    bulk: str = "-"
    share: float = 1.0

    @property
    def promise(self) -> str:
        """Short: results are kept, or not a word of them."""
        return f"{self.delivery}, results" if self.results else self.delivery

    @property
    def waits(self) -> bool:
        """Whether a sender can wait for a result (who only marks the limit has no such call)."""
        return self.results and not self.is_limit

    @property
    def is_limit(self) -> bool:
        return self.driver == "with_nothing"


CELERY = ("celery[redis]>=5.6", "hiredis")
RQ = ("rq>=2.6", "hiredis")
DRAMATIQ = ("dramatiq[redis]>=2", "hiredis")
HUEY = ("huey>=3", "redis", "hiredis")
TASKIQ = ("taskiq>=0.12", "taskiq-redis>=1.2", "hiredis", "uvloop")
# saq imports typing_extensions, and does not ask for it
SAQ = ("saq[redis,hiredis]>=0.26", "hiredis", "uvloop", "typing-extensions")
OURS = ("--editable", f"{Path(__file__).parents[2]}[fast]")

_ALL = (
    Contender("celery", "with_celery", "solo, prefetch 64", CELERY, bulk="group", share=0.5),
    Contender("rq", "with_rq", "SimpleWorker", RQ, "simple", bulk="enqueue_many", share=0.3),
    Contender("rq-fork", "with_rq", "fork", RQ, "fork", bulk="enqueue_many", share=0.05),
    Contender(
        "dramatiq", "with_dramatiq", "8 threads, prefetch 64", DRAMATIQ, "no-results", results=False
    ),
    Contender("dramatiq-results", "with_dramatiq", "8 threads, prefetch 64", DRAMATIQ, "results"),
    Contender("huey", "with_huey", "process", HUEY, "plain", AT_MOST),
    Contender("huey-notify", "with_huey", "process, notify_result", HUEY, "notify", AT_MOST),
    Contender(
        "arq", "with_arq", "tuned", ("arq>=0.26", "hiredis", "uvloop"), bulk="gather", share=0.5
    ),
    Contender("taskiq-stream", "with_taskiq", "stream", TASKIQ, "stream", bulk="gather"),
    Contender("taskiq-list", "with_taskiq", "list", TASKIQ, "list", AT_MOST, bulk="gather"),
    Contender("saq", "with_saq", "50 at once, uvloop", SAQ, bulk="gather"),
    Contender(
        "streaq",
        "with_streaq",
        "64 at once, uvloop",
        ("streaq>=6", "hiredis", "uvloop"),
        bulk="enqueue_many",
        share=0.5,
    ),
    Contender("miniqueue", "with_miniqueue", "defaults", OURS, bulk="enqueue_many", share=4),
    *(
        Contender(
            f"limit-{setting}", "with_nothing", what, (), setting, UNGUARDED, bulk=bulk, share=share
        )
        for setting, what, bulk, share in (
            ("six", "six round trips a task", "pipelines of 100", 1),
            ("three", "three pipelines a task", "pipelines of 100", 1),
            ("lua-1", "a Lua call a task", "pipelines of 100", 2),
            ("lua-8", "a Lua call for 8", "pipelines of 100", 4),
            ("lua-64", "a Lua call for 64", "pipelines of 1000", 4),
        )
    ),
)

CONTENDERS = {one.name: one for one in _ALL}


def chosen(names: Sequence[str]) -> list[Contender]:
    """The contenders of these names; `limit` is all its rows. KeyError names an unknown one."""
    found: dict[str, Contender] = {}
    for name in names:
        rows = [c for c in _ALL if c.name == name or (name == "limit" and c.is_limit)]
        if not rows:
            raise KeyError(name)
        found.update({row.name: row for row in rows})
    return list(found.values())
