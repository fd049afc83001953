"""The explorer on our own worker: it survives, and every planted fault is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from miniqueue.checkup import check
from miniqueue.classroom.explorer import Invariant, View, explore, ours
from miniqueue.classroom.explorer.ours import KEYS, PARTS
from miniqueue.classroom.explorer.promises import promises
from miniqueue.classroom.explorer.telling import answer
from miniqueue.classroom.explorer.walk import _run
from miniqueue.classroom.explorer.world import Bounds, World
from miniqueue.classroom.plants import PLANTS
from miniqueue.errors import ConfigError
from miniqueue.redis_client import Client

FOUND = {  # plant: the invariant that it breaks, and how many steps show it
    "no-fence": ("each-task-in-its-place", 6),
    "claim-in-two": ("each-task-in-its-place", 2),
    "finish-first": ("result-of-a-run", 2),
    "uncounted": ("attempts-count", 5),
    "blind-reclaim": ("each-task-in-its-place", 7),
    "promote-in-two": ("each-task-in-its-place", 7),
    "never-renewed": ("lease-kept", 5),
    "forgetful-release": ("each-task-in-its-place", 2),
}
OPERATIONS = {"claim", "extend", "complete", "fail", "reclaim", "promote", "release", "cancel"}


@pytest.mark.parametrize("name", PLANTS)
def test_every_plant_is_found_with_its_shortest_schedule(name: str) -> None:
    failure = explore(ours(plant=name)).failure
    assert failure is not None
    assert (failure.invariant, len(failure)) == FOUND[name]
    assert failure.shortest


@pytest.mark.parametrize(
    ("part", "schedules"),
    [("run", 200_000), ("renew", 200_000), ("promote", 1_000_000), ("cancel", 1_000_000)],
)
def test_our_worker_survives_a_crash_and_a_lost_lease(part: str, schedules: int) -> None:
    """All schedules of two workers and one task."""
    found = explore(ours(part, tasks=1))
    assert (found.failure, found.complete, found.cut) == (None, True, ())
    assert found.schedules > schedules


def test_a_task_whose_workers_die_again_and_again_ends_failed() -> None:
    def killed(view: View) -> str | None:
        state = view.data[KEYS.task("a")]["state"]
        return "task a has killed two workers" if state == "failed" else None

    scenario = ours("run", tasks=1)
    assert explore(scenario, crashes=2, preemptions=1).failure is None
    never = Invariant("never-fails", "no task fails", killed, at_end=True)
    failure = explore(replace(scenario, invariants=[never]), crashes=2, preemptions=1).failure
    assert failure is not None
    assert failure.text().count("reclaim  ->  1") == 2  # of a worker that crashed or stood still


def told(part: str) -> Iterator[tuple[str, str]]:
    """Operation and reply of every step in random schedules of a part."""
    with World(ours(part), Bounds(1, 2)) as world:
        dice = random.Random(1)
        for _ in range(250):
            assert _run(world, [], dice)[2] is None
        for position in world.positions:
            thread, reply, _ = position.told
            if position.before is not None:
                request = position.before.requests[thread]
                assert request is not None
                if request.kind == "call":
                    yield request.label.split()[0], answer(reply.value)


def test_every_operation_is_exercised_with_its_different_replies() -> None:
    seen = {pair for part in PARTS for pair in told(part)}
    assert {operation for operation, _ in seen} == OPERATIONS
    assert {("claim", "a/1"), ("claim", "a/2"), ("claim", "nothing")} <= seen
    assert {("complete", "[1]"), ("complete", "[0]"), ("fail", "1"), ("fail", "0")} <= seen
    assert {("extend", "[0]"), ("extend", "[1]"), ("extend", "[2]")} <= seen
    assert {("reclaim", "1"), ("promote", "1"), ("release", "[1]"), ("release", "[0]")} <= seen
    assert {("cancel", "'queued'"), ("cancel", "'running'"), ("cancel", "'succeeded'")} <= seen


def test_the_fast_reader_says_what_the_real_checkup_says() -> None:
    (in_its_place,) = [p for p in promises(KEYS, ["a"], 2) if p.name == "each-task-in-its-place"]
    compared = 0
    with World(ours(plant="claim-in-two", tasks=1), Bounds(1, 1)) as world:
        node = world.root()
        nodes = [node]
        for _ in range(40):
            moves = world.moves(node)
            if not moves:
                break
            node, _ = world.after(node, moves[0])
            nodes.append(node)
        for node in nodes:
            data = world.store.snapshot(node.state).data
            view = View(data, data, {}, {}, (), node.now_ms, lambda: None)
            real = check(Client(world.store.reader(node.state, node.now_ms)), KEYS)
            assert in_its_place.check(view) == (real[0] if real else None)
            compared += bool(real)
    assert compared > 0  # the plant leaves a task in no structure


def test_a_part_that_does_not_exist_is_told() -> None:
    with pytest.raises(ConfigError, match="no part is called 'x'; there are run"):
        ours("x")
    with pytest.raises(ConfigError, match="no plant is called 'x'"):
        ours(plant="x")
