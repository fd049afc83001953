"""postpone: a worker puts off a task that it has not started."""

from __future__ import annotations

import json

from miniqueue.protocol.records import Postponement
from tests.protocol.bench import HOUR_MS, Bench

LATER = Postponement("a", 2, 5000, "RateLimit")


def test_a_task_is_put_off_and_the_attempt_does_not_count(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=HOUR_MS, attempt=2)
    assert any_bench.run(any_bench.protocol.postpone("w", LATER)) == 1
    due, changes = any_bench.in_ms(5000), any_bench.changes()
    assert int(changes.pop("task a slot")) == due
    assert changes == {
        "running a": None,
        "scheduled a": due,
        "task a state": "scheduled",
        "task a due_ms": due,
        "task a released": "1",
        "task a put_off": "RateLimit",
        "stats postpone": 1,
        "events": [
            {
                "verb": "postpone",
                "tasks": "a/2",
                "worker": "w",
                "state": "scheduled",
                "reason": "RateLimit",
            }
        ],
    }


def test_r3_a_stale_attempt_puts_off_nothing(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=HOUR_MS, attempt=3)
    assert any_bench.run(any_bench.protocol.postpone("w", LATER)) == 0
    assert any_bench.changes() == {}


def test_a_task_that_is_to_be_cancelled_ends(any_bench: Bench) -> None:
    any_bench.put("a", "running", at_ms=HOUR_MS, attempt=2, waiting=1, children=1)
    any_bench.client.run(any_bench.protocol.cancel("a", "no more"))
    assert any_bench.run(any_bench.protocol.postpone("w", LATER)) == 1
    keep_ms = int(any_bench.settings.keep_s * 1000)
    changes = any_bench.changes()
    assert json.loads(changes.pop("task a error")) == {"type": "Cancelled", "message": "no more"}
    assert changes == {
        "running a": None,
        "finished a": any_bench.in_ms(keep_ms),
        "task a state": "cancelled",
        "task a finished_ms": any_bench.in_ms(0),
        "ttl task a": changes["ttl task a"],
        "done a": ["cancelled"],
        "ttl done a": changes["ttl done a"],
        "ended": ["a"],
        "stats postpone": 1,
        "events": [
            {
                "verb": "postpone",
                "tasks": "a/2",
                "worker": "w",
                "state": "cancelled",
                "reason": "RateLimit",
            }
        ],
    }
