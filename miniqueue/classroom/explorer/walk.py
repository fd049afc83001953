"""Walk: all interleavings within bounds, breadth first, so that the first failure is the shortest.

The nodes and moves of a World make a graph without circles (each move uses up a step or a budget).
Every path through it from the beginning to an end is a schedule. The walk takes each move of each
node once; how many schedules that covers is counted by adding up paths, not by walking them.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from miniqueue.classroom.explorer.failure import Failure, failure_of
from miniqueue.classroom.explorer.scenario import Scenario
from miniqueue.classroom.explorer.verdicts import Violation
from miniqueue.classroom.explorer.world import Bounds, Move, Node, World

__all__ = ["Exploration", "every_schedule", "explore", "timely"]

Path = list[tuple[Node, Move]]


@dataclass
class Exploration:
    """What was looked at, and what came of it.

    `schedules` counts the different schedules that are covered: if `complete`, all that there are
    within the bounds; else the random ones that were run, one by one, or after a failure the
    beginnings of schedules that were looked at. `states` are different moments, `steps` the steps
    that were really taken. `cut` names processes that took more steps than the scenario allows.
    """

    scenario: str
    bounds: Bounds
    schedules: int = 0
    states: int = 0
    steps: int = 0
    seconds: float = 0.0
    complete: bool = False
    failure: Failure | None = None
    cut: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Exploration of {self.scenario!r}: {self.summary()}>"

    def summary(self) -> str:
        """One sentence with the numbers."""
        walked = f"{self.steps:,} steps, {self.states:,} states, {self.seconds:.1f} s"
        if self.failure is not None:
            told = f"{self.failure.invariant} is broken, in {len(self.failure)} steps ({walked})"
        elif self.complete:
            told = f"no failure in all {self.schedules:,} schedules ({walked})"
        else:
            told = f"no failure in {self.schedules:,} random schedules; not all ({walked})"
        if self.cut:
            told += f"; cut off, it did not end in time: {', '.join(self.cut)}"
        return told

    def _repr_html_(self) -> str:
        b = self.bounds
        rows = {
            "bounds": f"crashes: {b.crashes}, jumps of the clock: {b.expiries}, "
            f"preemptions: {'any number' if b.preemptions is None else b.preemptions}",
            "covered": f"{self.schedules:,} "
            + ("schedules, all" if self.complete else "schedules or beginnings of schedules"),
            "walked": f"{self.steps:,} steps, {self.states:,} states",
            "time": f"{self.seconds:.1f} s",
        }
        cells = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in rows.items())
        text = f"<pre>{_escaped(self.failure.text())}</pre>" if self.failure else ""
        head = f"<b>{_escaped(self.scenario)}: {_escaped(self.summary())}</b>"
        return f"{head}<table>{cells}</table>{text}"


def explore(
    scenario: Scenario,
    *,
    crashes: int = 1,
    expiries: int = 1,
    preemptions: int | None = None,
    limit: int = 300_000,
    seed: int = 0,
) -> Exploration:
    """Look at all schedules of a scenario within the bounds, and stop at a broken invariant.

    `crashes`: processes that die. `expiries`: jumps of the clock past a deadline. `preemptions`:
    switches away from a thread that could go on (None: any number). After `limit` steps the walk
    gives up being complete, and goes on with random schedules from `seed` for as many steps again.
    Raises NotRepeatable for a program that cannot be explored.
    """
    bounds = Bounds(crashes, expiries, preemptions)
    began = time.perf_counter()
    found = Exploration(scenario.name, bounds)
    with _rarely_collected(), World(scenario, bounds) as world:
        graph = _Graph(world)
        graph.walk(limit)
        found.steps, found.states = graph.steps, len(graph.order)
        found.complete = graph.complete and not world.cut
        found.failure = graph.failure
        if graph.complete or graph.failure is not None:
            found.schedules = graph.count()
        else:
            _go_on(world, found, limit, random.Random(seed))
        found.cut = tuple(sorted(world.cut))
    found.seconds = time.perf_counter() - began
    return found


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let the garbage collector look less often: nodes are many, live to the end and are no garbage
    (a quarter of the time of a long walk)."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def timely(scenario: Scenario) -> Failure | None:
    """The one schedule in which nobody is slow, crashes or stands still: what breaks in it.

    Whoever can go on does, the first actor first; the clock moves when all wait for it.
    """
    with World(scenario, Bounds(crashes=0, expiries=10_000)) as world:
        node, path = world.root(), list[tuple[Node, Move]]()
        if (early := _early(world)) is not None:
            return early
        while moves := world.moves(node):
            move = next((m for m in moves if m.kind == "step"), moves[0])
            path.append((node, move))
            node, broken = world.after(node, move)
            if broken is not None:
                return replace(_told(world, path, None, broken), shortest=False)
        broken, _ = world.finish(node)
        return replace(_told(world, path, node, broken), shortest=False) if broken else None


def every_schedule(
    scenario: Scenario, bounds: Bounds
) -> Iterator[tuple[list[Move], Violation | None]]:
    """Run the schedules one by one, from the beginning to the end, with no thought of equal states.

    Gives the moves of each, and what it breaks: for a check of the counting, and of the speed.
    """
    with World(scenario, bounds) as world:
        stack: list[tuple[Node, list[Move]]] = [(world.root(), [])]
        while stack:
            node, path = stack.pop()
            moves = world.moves(node)
            if world.is_end(node, moves) or not moves:
                yield path, world.finish(node)[0]
            for move in reversed(moves):
                later, broken = world.after(node, move)
                if broken is not None:
                    yield [*path, move], broken
                else:
                    stack.append((later, [*path, move]))


class _Graph:
    """The nodes that were reached, breadth first."""

    def __init__(self, world: World) -> None:
        self.world = world
        root = world.root()
        self.order: list[Node] = [root]
        self.steps = 0
        self.complete = False
        self.failure = _early(world)
        self._numbers = {root: 0}
        self._from: list[tuple[int, Move] | None] = [None]
        self._depths = [0]
        self._next: list[list[int]] = []
        self._ends: set[int] = set()

    def walk(self, limit: int) -> None:
        """Every move of every node, until all are done, no shorter failure can come, or `limit`
        moves are made."""
        while len(self._next) < len(self.order):
            number = len(self._next)
            if self.failure is not None and self._depths[number] + 1 >= len(self.failure):
                return
            if self.steps >= limit:
                return
            self._expand(number)
        self.complete = self.failure is None

    def _expand(self, number: int) -> None:
        node = self.order[number]
        moves = self.world.moves(node)
        if self.world.is_end(node, moves):
            self._ends.add(number)
            if broken := self.world.finish(node)[0]:
                self._fail(number, None, broken)
        reached: list[int] = []
        self._next.append(reached)
        for move in moves:
            later, broken = self.world.after(node, move)
            self.steps += 1
            if broken:
                self._fail(number, move, broken)
                return
            reached.append(self._number(later, number, move))

    def _number(self, node: Node, before: int, move: Move) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.order)
            self.order.append(node)
            self._from.append((before, move))
            self._depths.append(self._depths[before] + 1)
        return number

    def _fail(self, number: int, move: Move | None, broken: Violation) -> None:
        """Keep a failure, if it is the shortest so far; the steps of the recovery count."""
        path: Path = [(self.order[number], move)] if move else []
        step = self._from[number]
        while step is not None:
            path.append((self.order[step[0]], step[1]))
            step = self._from[step[0]]
        end = None if move else self.order[number]
        failure = _told(self.world, path[::-1], end, broken)
        if self.failure is None or len(failure) < len(self.failure):
            self.failure = failure

    def count(self) -> int:
        """How many paths lead from the beginning to an end (or to what was not looked at)."""
        known = len(self._next)
        paths: list[int | None] = [None] * known + [1] * (len(self.order) - known)
        stack = [0]
        while stack:
            number = stack[-1]
            if paths[number] is not None:
                stack.pop()
                continue
            missing = [n for n in self._next[number] if paths[n] is None]
            if missing:
                stack += missing
                continue
            ends = number in self._ends or not self._next[number]
            paths[number] = ends + sum(paths[n] or 0 for n in self._next[number])
            stack.pop()
        return paths[0] or 0


def _early(world: World) -> Failure | None:
    """What is broken before the first step: no schedule is shorter."""
    if world.early is None:
        return None
    return failure_of(world.scenario.name, world.early, [], [], shortest=True)


def _told(world: World, path: Path, end: Node | None, broken: Violation) -> Failure:
    schedule = [world.taken(node, move) for node, move in path]
    recovery = world.finish(end)[1] if end is not None else []
    return failure_of(world.scenario.name, broken, schedule, recovery, shortest=True)


# -- random schedules, where all are too many ------------------------------------------------------


def _go_on(world: World, found: Exploration, limit: int, dice: random.Random) -> None:
    steps = 0
    while steps < limit and found.failure is None:
        moves, _, broken = _run(world, [], dice)
        steps += len(moves)
        found.schedules += 1
        if broken:
            found.failure = _shrunk(world, [move for _, move in moves], broken)
    found.steps += steps


def _run(
    world: World, wanted: list[Move], dice: random.Random | None
) -> tuple[Path, Node | None, Violation | None]:
    """One schedule: the moves that are wanted as far as they are possible, then chosen by the dice
    or, without dice, the first one that is possible, until the end."""
    node, path, waiting = world.root(), list[tuple[Node, Move]](), list(wanted)
    while True:
        moves = world.moves(node)
        if world.is_end(node, moves) and not waiting and (not moves or dice is None or _coin(dice)):
            broken, _ = world.finish(node)
            return path, node, broken
        move = _chosen(moves, waiting, dice)
        if move is None:
            waiting = []
            if not moves or world.is_end(node, moves):
                continue
            move = moves[0]
        path.append((node, move))
        node, broken = world.after(node, move)
        if broken:
            return path, None, broken


def _coin(dice: random.Random) -> bool:
    return dice.random() < 0.5


def _chosen(moves: list[Move], waiting: list[Move], dice: random.Random | None) -> Move | None:
    while waiting:
        wanted = waiting.pop(0)
        if wanted.kind == "clock":
            wanted = next((move for move in moves if move.kind == "clock"), wanted)
        if wanted in moves:
            return wanted
    return dice.choice(moves) if dice is not None and moves else None


def _shrunk(world: World, moves: list[Move], broken: Violation) -> Failure:
    """A shorter schedule that breaks the same invariant, as long as one is found."""
    best, shorter = moves, True
    while shorter:
        shorter = False
        for candidate in _candidates(best):
            path, end, again = _run(world, candidate, None)
            if again is not None and again.name == broken.name and len(path) < len(best):
                best, shorter = [move for _, move in path], True
                break
    path, end, again = _run(world, best, None)
    return replace(_told(world, path, end, again or broken), shortest=False)


def _candidates(moves: list[Move]) -> Iterator[list[Move]]:
    """Without a process; without some moves; with a crash or a jump that comes earlier.

    A wanted move that is not possible any more is left out, and what has begun goes on to its end.
    """
    for process in sorted({move.process for move in moves}):
        yield [move for move in moves if move.kind == "clock" or move.process != process]
    size = len(moves) // 2
    while size:
        for at in range(0, len(moves), size):
            yield moves[:at] + moves[at + size :]
        size //= 2
    for at, move in enumerate(moves):
        if move.kind != "step":
            for earlier in range(at):
                yield [*moves[:earlier], move, *moves[earlier:at], *moves[at + 1 :]]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
