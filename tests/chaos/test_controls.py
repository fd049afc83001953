"""Negative controls: the check must be able to fail, and says which invariant was broken."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from miniqueue.classroom.chaos.control import SketchChaos
from miniqueue.classroom.chaos.faults import FAULTS
from miniqueue.classroom.chaos.invariants import INVARIANTS
from miniqueue.classroom.chaos.report import timeline
from miniqueue.classroom.chaos.run import Chaos, Size
from miniqueue.classroom.chaos.verdict import Verdict
from miniqueue.classroom.plants import PLANTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

OURS = Size(240, 4.0, workers=3, lease_s=0.8, poison=1, drain_s=30)
SMALL = Size(240, 4.0, workers=3, lease_s=0.8, poison=1, drain_s=4)
FEW = Size(100, 6.0, workers=3, lease_s=0.6, poison=1, long=0.3, drain_s=4)


@dataclass(frozen=True)
class Control:
    """What brings a fault to light, and the invariants one of which it must break."""

    faults: tuple[str, ...]
    caught_by: tuple[str, ...] = ()
    size: Size = SMALL


CONTROLS = {
    "": Control(("kill", "failpoints", "freeze", "stop", "poison", "pause", "clock"), size=OURS),
    "sketch": Control(("kill", "failpoints:task", "failpoints:claimed"), ("nothing lost",)),
    "no-fence": Control(("freeze",), ("one lease at a time",), FEW),
    "claim-in-two": Control(("failpoints:claimed",), ("one place for each task", "ended is final")),
    "finish-first": Control(("failpoints:task",), ("nothing lost",)),
    "uncounted": Control(("poison",), ("poison ends",)),
    "blind-reclaim": Control(("freeze", "pause"), ("one lease at a time",), FEW),
    "promote-in-two": Control(("failpoints:promote",), ("one lease at a time",)),
    "never-renewed": Control((), ("leases of the healthy hold",), FEW),
    "forgetful-release": Control(("stop",), ("nothing lost",), replace(FEW, long=0.45)),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Verdict]]]:
    """All runs, three at a time: they mostly wait."""
    folder = tmp_path_factory.mktemp("chaos")
    with ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(_run, name, folder / (name or "ours")) for name in CONTROLS}


def _run(name: str, folder: Path) -> Verdict:
    """Runs are samples: a fault has eight of them in which to show. The rarest is no-fence, in two
    of three: a worker that thaws may ask for its leases before it tells the end of a task.
    """
    control = CONTROLS[name]
    for seed in range(1, 9):
        if name == "sketch":
            run: Chaos = SketchChaos(control.size, seed, control.faults, folder=folder)
        else:
            run = Chaos(control.size, seed, control.faults, plant=name, folder=folder)
        verdict = run.run()
        if not name or set(control.caught_by) & set(verdict.broken()):
            break
    return verdict


def test_each_plant_is_under_control() -> None:
    assert set(CONTROLS) == {"", "sketch", *PLANTS}


def test_the_page_names_every_fault_invariant_and_plant() -> None:
    page = (Path(__file__).parents[2] / "docs" / "chaos.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    first = {row[0].removeprefix("| ") for row in rows}
    assert {*FAULTS, *INVARIANTS, *PLANTS} <= first
    told = {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows}
    assert {name: told[name] for name in CONTROLS if name} == {
        name: " or ".join(control.caught_by) for name, control in CONTROLS.items() if name
    }


@pytest.mark.parametrize("name", [name for name in CONTROLS if name])
def test_a_planted_fault_is_caught(verdicts: dict[str, Future[Verdict]], name: str) -> None:
    verdict = verdicts[name].result()
    assert set(CONTROLS[name].caught_by) & set(verdict.broken()), verdict.broken()


def test_without_a_plant_the_same_faults_break_nothing(
    verdicts: dict[str, Future[Verdict]],
) -> None:
    verdict = verdicts[""].result()
    assert [v.sentence for v in verdict.violations] == []
    assert verdict.acknowledged > 200
    assert verdict.duplicated > 0  # the faults did something


def test_the_checker_says_which_tasks_the_sketch_lost(
    verdicts: dict[str, Future[Verdict]],
) -> None:
    verdict = verdicts["sketch"].result()
    lost = [v for v in verdict.violations if v.invariant == "nothing lost"]
    assert verdict.lost == len(lost) > 0
    lines = timeline(verdict, lost[0])
    assert any("accepted" in line and lost[0].key in line for line in lines)
    assert not any("effect" in line for line in lines)
