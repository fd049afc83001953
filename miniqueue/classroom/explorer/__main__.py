"""`python -m miniqueue.classroom.explorer [--part NAME] [--plant NAME] [--naive] [--png FILE]`.

Diagrams need matplotlib, which only --png imports."""

from __future__ import annotations

import argparse
import sys
import time

from miniqueue.classroom.explorer.naive import naive
from miniqueue.classroom.explorer.ours import PARTS, ours
from miniqueue.classroom.explorer.scenario import Scenario
from miniqueue.classroom.explorer.walk import every_schedule, explore
from miniqueue.classroom.explorer.world import Bounds
from miniqueue.classroom.plants import PLANTS


def main(argv: list[str] | None = None) -> int:
    """Explore, print the numbers and the shortest schedule of a failure; 1 where one was found."""
    parser = argparse.ArgumentParser(prog="miniqueue.classroom.explorer", description=main.__doc__)
    parser.add_argument("--part", choices=PARTS, help="a side of the worker")
    parser.add_argument("--plant", choices=PLANTS, help="with this planted fault")
    parser.add_argument("--naive", action="store_true", help="the first sketch instead")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", type=int, help="2, in some parts 1")
    parser.add_argument("--crashes", type=int, default=1)
    parser.add_argument("--expiries", type=int, default=1)
    parser.add_argument("--preemptions", type=int, help="default: any number")
    parser.add_argument("--limit", type=int, default=2_000_000, help="steps before it is random")
    parser.add_argument("--each", action="store_true", help="run the schedules one by one")
    parser.add_argument("--png", help="write the sequence diagram of the failure here")
    args = parser.parse_args(argv)
    if args.naive:
        scenario = naive(args.workers, args.tasks or 1)
    else:
        scenario = ours(args.part, plant=args.plant, workers=args.workers, tasks=args.tasks)
    if args.each:
        _each(scenario, Bounds(args.crashes, args.expiries, args.preemptions))
        return 0
    found = explore(
        scenario,
        crashes=args.crashes,
        expiries=args.expiries,
        preemptions=args.preemptions,
        limit=args.limit,
    )
    print(f"{found.scenario}: {found.summary()}")
    if found.failure is None:
        return 0
    print(found.failure.text())
    if args.png:
        found.failure.diagram().savefig(args.png, dpi=110, metadata={"Software": None})
    return 1


def _each(scenario: Scenario, bounds: Bounds) -> None:
    began = time.perf_counter()
    failed = [broken is not None for _, broken in every_schedule(scenario, bounds)]
    seconds = time.perf_counter() - began
    print(
        f"{scenario.name}: {len(failed):,} schedules run one by one in {seconds:.1f} s, "
        f"{len(failed) / seconds:,.0f} a second; {sum(failed):,} of them fail"
    )


if __name__ == "__main__":
    sys.exit(main())
