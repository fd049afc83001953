"""The protocol behaves as the model says, on Valkey and on fakeredis; and the model sees faults.

Every run carries out the same 4,500 operations. `HYPOTHESIS_PROFILE=long pytest tests/model`
carries out 100,000, new ones each time, and breaks the scripts line by line (test_broken.py).
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from miniqueue.classroom.plants import PLANTS, Plant, Planted
from miniqueue.redis_client import Client
from tests.model.machine import Machine
from tests.protocol.bench import Bench, failure, sent

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
LIMIT_S = 3600 if LONG else 120
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S)]

COMMON = settings(
    stateful_step_count=50,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
ON_SERVER = settings(COMMON, max_examples=1000 if LONG else 60)
IN_MEMORY = settings(COMMON, max_examples=1000 if LONG else 30)
# To see that something is wrong: the first example that shows it will do.
GLANCE = settings(
    COMMON, max_examples=200, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False
)
TWO_STEPS = {"blind-reclaim", "promote-in-two"}  # wrong only if interrupted


def test_purging_a_task_leaves_the_key_of_a_later_one(bench: Bench) -> None:
    p, raw = bench.protocol, bench.client.raw
    bench.client.run(p.enqueue([sent("old", unique="k", digest="d")]))
    bench.client.run(p.claim("w", 1))
    bench.client.run(p.fail("w", failure("old")))
    raw.delete(bench.keys.unique("k"))  # its time is over, long before that of the failed task
    bench.client.run(p.enqueue([sent("new", unique="k", digest="d")]))
    assert bench.client.run(p.purge("old"))
    assert raw.get(bench.keys.unique("k")) == "d new"


def machine_on(client: Client) -> type[Machine]:
    class Bound(Machine):
        def __init__(self) -> None:
            super().__init__(client)

    return Bound


def test_the_protocol_is_as_the_model_on_a_server(client: Client) -> None:
    run_state_machine_as_test(machine_on(client), settings=ON_SERVER)


def test_the_protocol_is_as_the_model_on_fakeredis(memory: Client) -> None:
    run_state_machine_as_test(machine_on(memory), settings=IN_MEMORY)


def red(client: Client, plant: Plant) -> None:
    """The machine finds the plant."""
    wrong = machine_on(Planted(client, plant))
    with pytest.raises(AssertionError, match=r"the model says|has a hash and is in"):
        run_state_machine_as_test(wrong, settings=GLANCE)


@pytest.mark.parametrize("name", sorted(set(PLANTS) - TWO_STEPS))
def test_the_machine_finds_a_planted_fault(client: Client, name: str) -> None:
    red(client, PLANTS[name])


def test_the_model_is_small_enough_to_read() -> None:
    source = (Path(__file__).parent / "model.py").read_text()
    blank = {line for line, text in enumerate(source.splitlines(), 1) if not text.strip()}
    doc = ast.parse(source).body[0].end_lineno or 0
    assert len(source.splitlines()) - len(blank) - doc <= 150
