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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

QUICK = ("drain", "roundtrip")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    console = Console()
    with harness.server() as server, bars(console) as progress:
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
        "--measure", type=measures, metavar="NAMES", help=f"of {','.join(MEASURES)} (default: all)"
    )
    made.add_argument(
        "--tasks",
        type=positive,
        default=5000,
        metavar="N",
        help="a slow peer takes a share, a fast one several (default: %(default)s)",
    )
    made.add_argument(
        "--envs",
        type=Path,
        default=default_folder(),
        metavar="DIR",
        help="the peers' environments (default: %(default)s)",
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help=f"1 round, 1000 tasks; unless said else, {' and '.join(QUICK)} of the peers that "
        "promise what miniqueue does (3 minutes, 1 more the first time)",
    )
    args = made.parse_args(argv)
    if args.rounds < 1:
        made.error("argument --rounds: say at least 1")
    if args.quick:
        args.rounds, args.tasks = 1, 1000
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


def measures(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MEASURES:
            raise argparse.ArgumentTypeError(f"{name!r}: say one or more of {', '.join(MEASURES)}")
    return names


def positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: say a number from 1 to 1000000")
    return int(text)


def bars(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


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
