"""The explorer on our own worker, with two tasks: half a minute of one processor.

A module of its own, since the processes that run the tests divide them by modules.
"""

from __future__ import annotations

import pytest

from miniqueue.classroom.explorer import explore, ours

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.mark.parametrize(("part", "schedules"), [("run", 50_000_000), ("release", 4_000_000)])
def test_our_worker_survives_with_two_workers_and_two_tasks(part: str, schedules: int) -> None:
    """All schedules with a crash and a lease that runs out: a million steps."""
    found = explore(ours(part, tasks=2), limit=3_000_000)
    assert (found.failure, found.complete, found.cut) == (None, True, ())
    assert found.schedules > schedules
