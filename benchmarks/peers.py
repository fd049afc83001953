"""Peers: miniqueue and eight other queues on Redis, side by side, and what bare Redis would do.

    python benchmarks/peers.py                                     all rows, three rounds
    python benchmarks/peers.py --peers rq,miniqueue --measure drain    one row again, beside ours
    python benchmarks/peers.py --quick                             the short version

Each peer gets an environment of its own, made on first use, and its best sensible settings
(comparison/contenders.py); each is measured in the same way (comparison/measures.py): no-op tasks,
one private Redis, rounds in turn. Writes peers.json (all rounds), peers.md and peers.png.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import harness
from comparison.contenders import CONTENDERS, Contender, chosen
from comparison.environments import EnvironmentFailed, default_folder
from comparison.measures import FIGURES, MEASURES, Bench, GaveUp, take
from comparison.report import Row, draw, parts, remarks, terminal_table, told_of, write_markdown
from rich.console import Console
from rich.progress import Progress

QUICK = ("drain", "roundtrip")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    with harness.server() as server, harness.bars(console, 36) as progress:
        about = server.raw.info("server")
        version = about.get("valkey_version") or about["redis_version"]
        rows = compare(server, args, progress)
    columns = [name for name in FIGURES if FIGURES[name].measure in args.measure]
    for title, names in parts(columns):
        console.print(terminal_table(rows, names, title))
    for line in remarks(rows, columns):
        console.print(line, highlight=False, markup=False)
    told = {"server": version, "rounds": args.rounds, "rows": [told_of(row) for row in rows]}
    written = [harness.save(args.out, "peers", told), write_markdown(rows, columns, args.out)]
    if picture := draw(rows, args.out):
        written.append(picture)
    for path in written:
        console.print(f"wrote {path}")
    return 0 if any(row.rounds for row in rows) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    made = harness.parser(__doc__)
    every = [c for c in CONTENDERS if not CONTENDERS[c].is_limit]
    made.add_argument(
        "--peers", type=peers, metavar="NAMES", help=f"of {','.join([*every, 'limit'])}"
    )
    made.add_argument(
        "--measure",
        type=harness.names(MEASURES),
        metavar="NAMES",
        help=f"of {','.join(MEASURES)} (default: all)",
    )
    what = "a slow peer takes a share, a fast one several"
    harness.number(made, "--tasks", 1, 1_000_000, 5000, what)
    made.add_argument(
        "--envs",
        type=Path,
        default=default_folder(),
        metavar="DIR",
        help="the peers' environments (default: %(default)s)",
    )
    quick = (
        f"1 round, 1000 tasks; unless said else, {' and '.join(QUICK)} of the peers that "
        "promise what miniqueue does (3 minutes, 1 more the first time)"
    )
    args = harness.parsed(made, argv, quick, tasks=1000)
    alike = [c for c in CONTENDERS.values() if c.promise == CONTENDERS["miniqueue"].promise]
    args.peers = args.peers or (alike if args.quick else list(CONTENDERS.values()))
    args.measure = args.measure or list(QUICK if args.quick else MEASURES)
    return args


def peers(text: str) -> list[Contender]:
    try:
        return chosen(text.split(","))
    except KeyError as error:
        known = ", ".join([*CONTENDERS, "limit"])
        raise argparse.ArgumentTypeError(f"{error}: say one or more of {known}") from None


def compare(server: harness.Server, args: argparse.Namespace, progress: Progress) -> list[Row]:
    """Make the environments, then the rounds in turn: each contender's first, then the second."""
    rows = [Row(contender) for contender in args.peers]
    benches: list[tuple[Row, Bench]] = []
    bar = progress.add_task("", total=len(rows) * (args.rounds + 1))
    for row in rows:
        progress.update(bar, description=f"environment of {row.name}")
        try:
            bench = Bench(server, row.contender, tasks=args.tasks, envs=args.envs)
        except (EnvironmentFailed, GaveUp) as error:
            row.problems = dict.fromkeys(args.measure, str(error))
        else:
            row.version, row.tasks = bench.version, bench.tasks
            benches.append((row, bench))
        progress.advance(bar)
    for number in range(args.rounds):
        for row, bench in benches:
            progress.update(bar, description=f"round {number + 1} of {args.rounds}: {row.name}")
            figures, problems = take(bench, set(args.measure))
            row.rounds.append(figures)
            row.problems |= problems
            progress.advance(bar)
    return rows


if __name__ == "__main__":
    sys.exit(main())
