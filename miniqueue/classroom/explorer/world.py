"""World: one scenario in motion. A node is a moment of it; a move leads to the next one.

A node names everything that can make a difference later: what Redis holds, the time, what was told
to the invariants, where each process stands, and what is left of the budgets. So two schedules that
lead to one node need to be followed only once from there.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from miniqueue.classroom.explorer.clock import START_MS, Clock, installed, namespaces, silence
from miniqueue.classroom.explorer.process import Position, Process, Record, Request
from miniqueue.classroom.explorer.scenario import Scenario
from miniqueue.classroom.explorer.store import Answer, Store
from miniqueue.classroom.explorer.verdicts import Verdicts, Violation, endless, raised

__all__ = ["Bounds", "Move", "Node", "Taken", "World"]

GONE = -1  # the position of a process that has ended or crashed
NOTHING = Answer(-1, None)


@dataclass(frozen=True)
class Bounds:
    """How much may go wrong in one schedule."""

    crashes: int = 1
    expiries: int = 1
    preemptions: int | None = None  # None: any number


class Move(NamedTuple):
    """What the scheduler does: step (a thread of a process), crash, clock (jump to `thread` ms)."""

    kind: str
    process: int = 0
    thread: int = 0


class Node(NamedTuple):
    """A moment of the world."""

    state: int
    now_ms: int
    log: int
    positions: tuple[int, ...]
    crashes: int
    expiries: int
    last: tuple[int, int] | None = None  # only where preemptions are counted
    preemptions: int = 0


class Taken(NamedTuple):
    """A step that was taken, for a reader."""

    who: str
    request: Request
    answer: Answer
    now_ms: int


class World:
    """A scenario's moves. Use it inside `with World(...) as world`."""

    def __init__(self, scenario: Scenario, bounds: Bounds) -> None:
        self.scenario = scenario
        self.bounds = bounds
        self.clock = Clock()
        self.store = Store(self.clock, scenario.unread)
        self.positions: list[Position] = []
        self.cut: set[str] = set()  # processes that took too many steps
        programs = list(scenario.actors.items())
        self.processes = [self._process(name, program) for name, program in programs]
        self._healthy = self._process("recovery", scenario.recover) if scenario.recover else None
        self.verdicts = Verdicts(scenario, self.store)
        self._ends: dict[tuple[int, int, int], tuple[Violation | None, list[Taken]]] = {}
        self._deadlines: dict[int, tuple[int, ...]] = {}
        self._root: Node | None = None
        self.early: Violation | None = None  # what is broken before the first step
        self._virtual = contextlib.ExitStack()

    def _process(self, name: str, program: Any) -> Process:
        return Process(name, program, self.clock, self.store.load, self.positions)

    def __enter__(self) -> World:
        self._virtual.enter_context(silence())
        spaces = list(namespaces(self.scenario.code, self.scenario.still))
        self._virtual.enter_context(installed(self.clock, spaces, self.scenario.replace))
        still = [vars(sys.modules[name]) for name in self.scenario.still]
        self._virtual.enter_context(installed(Clock(), still, self.scenario.replace))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for process in [*self.processes, *([self._healthy] if self._healthy else [])]:
                process.close()
        finally:
            self._virtual.close()

    def root(self) -> Node:
        """The beginning: Redis is set up, each program has run up to its first step."""
        if self._root is None:
            self._root = self._begin()
        return self._root

    def _begin(self) -> Node:
        self.clock.now_ms = START_MS
        self.scenario.setup(self.store.raw)
        state = self.store.now()
        starts = [process.start(START_MS) for process in self.processes]
        told = tuple(record for position in starts for record in position.records)
        log = self.verdicts.told(0, told, START_MS)
        self.early = self.verdicts.after_step((state, START_MS, 0), (state, START_MS, log), told)
        for process, position in zip(self.processes, starts, strict=True):
            if position.error:
                self.early = raised(process.name, position.error)
        places = tuple(map(self._place, starts))
        left = self.bounds.preemptions
        return Node(state, START_MS, log, places, self.bounds.crashes, self.bounds.expiries, None,
                    left or 0)  # fmt: skip

    # -- moves -----------------------------------------------------------------------------------

    def moves(self, node: Node) -> list[Move]:
        """All that may happen next, always in the same order."""
        steps = [
            Move("step", i, thread)
            for i, place in enumerate(node.positions)
            if place != GONE and not self._too_long(i, place)
            for thread, request in enumerate(self.positions[place].requests)
            if request is not None and self._enabled(node, request)
        ]
        if self.bounds.preemptions is not None and node.preemptions == 0 and node.last is not None:
            kept = [move for move in steps if move[1:] == node.last]
            steps = kept or steps
        moves = steps
        if node.crashes:
            moves += [
                Move("crash", i)
                for i, place in enumerate(node.positions)
                if place != GONE and self.positions[place].depth
            ]
        if node.expiries and any(place != GONE for place in node.positions):
            moves += [Move("clock", 0, at) for at in self.deadlines(node)]
        return moves

    def is_end(self, node: Node, moves: list[Move]) -> bool:
        """Whether a schedule may end here: all have ended, crashed, or wait for good.

        Where a healthy worker comes at the end, it may come in the place of processes that have not
        begun (but not of all).
        """
        steps = {move.process for move in moves if move.kind == "step"}
        if self._healthy is None:
            return not steps
        begun = {
            number
            for number, place in enumerate(node.positions)
            if place == GONE or self.positions[place].depth
        }
        return bool(begun) and not steps & begun

    def after(self, node: Node, move: Move) -> tuple[Node, Violation | None]:
        """The node to which a move leads, and the invariant that it breaks."""
        if move.kind == "crash":
            places = _with(node.positions, move.process, GONE)
            return node._replace(positions=places, crashes=node.crashes - 1), None
        if move.kind == "clock":
            state = self.store.aged(node.state, move.thread)
            later = node._replace(state=state, now_ms=move.thread, expiries=node.expiries - 1)
            return later, self._check(node, later, ())
        position = self.positions[node.positions[move.process]]
        request = position.requests[move.thread]
        assert request is not None
        answer, state, told = self._answer(node, request)
        process = self.processes[move.process]
        reached = process.after(position, move.thread, answer, node.now_ms)
        told += reached.records
        place = self._place(reached)
        log = self.verdicts.told(node.log, told, node.now_ms)
        places = _with(node.positions, move.process, place)
        later = Node(state, node.now_ms, log, places, *node[4:])  # quicker than _replace
        if self.bounds.preemptions is not None:
            later = self._counted(node, later, move)
        if reached.error:
            return later, raised(reached.threads[move.thread], reached.error)
        return later, self._check(node, later, told)

    def taken(self, node: Node, move: Move) -> Taken:
        """A move for a reader."""
        if move.kind == "clock":
            text = f"passes a deadline: {(move.thread - node.now_ms) / 1000:g} s later"
            return Taken("the clock", Request("clock", label=text), NOTHING, move.thread)
        process = self.processes[move.process]
        if move.kind == "crash":
            return Taken(process.name, Request("crash", label="crashes"), NOTHING, node.now_ms)
        position = self.positions[node.positions[move.process]]
        request = position.requests[move.thread]
        assert request is not None
        answer, _, _ = self._answer(node, request)
        return Taken(position.threads[move.thread], request, answer, node.now_ms)

    def deadlines(self, node: Node) -> list[int]:
        """The moments to which the clock may jump, in ms."""
        ends = set(self._stored_deadlines(node.state))
        for place in node.positions:
            if place != GONE:
                requests = self.positions[place].requests
                ends |= {r.until_ms for r in requests if r is not None and r.until_ms is not None}
        last = node.now_ms + int(self.scenario.horizon_s * 1000)
        return sorted(at for at in ends if node.now_ms < at <= last)

    # -- the end ---------------------------------------------------------------------------------

    def finish(self, node: Node) -> tuple[Violation | None, list[Taken]]:
        """Let a healthy worker recover, then look at the invariants of the end."""
        key = (node.state, node.now_ms, node.log)
        if key not in self._ends:
            self._ends[key] = self._finish(node)
        return self._ends[key]

    def _finish(self, node: Node) -> tuple[Violation | None, list[Taken]]:
        taken: list[Taken] = []
        here = node._replace(positions=())
        if self._healthy is not None:
            position = self._healthy.start(node.now_ms)
            while not position.ended:
                if position.depth >= self.scenario.most_steps:
                    return endless(self._healthy.name, position.depth), taken
                found = self._recovering(here, position)
                if found is None:
                    break
                thread, here = found
                request = position.requests[thread]
                assert request is not None
                answer, state, told = self._answer(here, request)
                if request.kind != "deadlines" or here.now_ms > node.now_ms:
                    taken.append(Taken(position.threads[thread], request, answer, here.now_ms))
                position = self._healthy.after(position, thread, answer, here.now_ms)
                told += position.records
                later = here._replace(
                    state=state, log=self.verdicts.told(here.log, told, here.now_ms)
                )
                broken = (
                    raised(self._healthy.name, position.error)
                    if position.error
                    else self._check(here, later, told)
                )
                here = later
                if broken:
                    return broken, taken
        return self.verdicts.at_end(_moment(node), _moment(here)), taken

    def _recovering(self, node: Node, position: Position) -> tuple[int, Node] | None:
        """The thread of the healthy worker that goes on, and when: for it time passes freely."""
        waiting = [(t, r) for t, r in enumerate(position.requests) if r is not None]
        for thread, request in waiting:
            if request.kind == "deadlines":
                last = max(self.deadlines(node), default=node.now_ms)
                return thread, self._at(node, last)
            if self._enabled(node, request):
                return thread, node
        ends = [(r.until_ms, t) for t, r in waiting if r.until_ms is not None]
        if not ends:
            return None
        until, thread = min(ends)
        return thread, self._at(node, until)

    def _at(self, node: Node, now_ms: int) -> Node:
        return node._replace(now_ms=now_ms, state=self.store.aged(node.state, now_ms))

    def _check(self, before: Node, node: Node, new: tuple[Record, ...]) -> Violation | None:
        return self.verdicts.after_step(_moment(before), _moment(node), new)

    # -- parts of a move -------------------------------------------------------------------------

    def _place(self, position: Position) -> int:
        return GONE if position.ended else position.number

    def _too_long(self, process: int, place: int) -> bool:
        if self.positions[place].depth < self.scenario.most_steps:
            return False
        self.cut.add(self.processes[process].name)
        return True

    def _enabled(self, node: Node, request: Request) -> bool:
        if request.until_ms is not None and node.now_ms >= request.until_ms:
            return True
        if request.kind in ("sleep", "deadlines"):
            return False
        if not request.blocks:
            return True
        return bool(self._try(node, request).answer.value)

    def _try(self, node: Node, request: Request) -> Any:
        return self.store.run(node.state, node.now_ms, ("TRY", *request.words))

    def _answer(self, node: Node, request: Request) -> tuple[Answer, int, tuple[Record, ...]]:
        if request.kind != "call":
            return NOTHING, node.state, ()
        if request.blocks:
            moved = self._try(node, request)
            if not moved.answer.value:
                return NOTHING, node.state, ()
        else:
            moved = self.store.run(node.state, node.now_ms, request.words)
        return moved.answer, moved.state, tuple(moved.journal)

    def _stored_deadlines(self, state: int) -> tuple[int, ...]:
        found = self._deadlines.get(state)
        if found is None:
            snapshot = self.store.snapshot(state)
            ends = {at + 1 for at in snapshot.expiries()}
            for key in self.scenario.clocks:
                for _, score in snapshot.data.get(key, ()):
                    ends.add(int(score if score > 1e11 else score * 1000) + 1)
            found = self._deadlines[state] = tuple(sorted(ends))
        return found

    def _counted(self, node: Node, later: Node, move: Move) -> Node:
        """With what is left of the preemptions: leaving a thread that could go on costs one."""
        here = (move.process, move.thread)
        left = node.preemptions
        if node.last is not None and node.last != here:
            place = node.positions[node.last[0]]
            request = self.positions[place].requests[node.last[1]] if place != GONE else None
            left -= request is not None and self._enabled(node, request)
        return later._replace(last=here, preemptions=left)


def _moment(node: Node) -> tuple[int, int, int]:
    return node.state, node.now_ms, node.log


def _with(places: tuple[int, ...], at: int, place: int) -> tuple[int, ...]:
    return (*places[:at], place, *places[at + 1 :])
