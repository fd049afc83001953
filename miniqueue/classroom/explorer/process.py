"""Processes: explored programs as greenlets that stop at every step, and can be run again.

A greenlet cannot be copied. But a program that is told the same replies at the same times does the
same again, so where a process stands is named by what it has been told: its position. A position
remembers what the process asks for next; only for a new one the process is run, alone, from its
beginning.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from greenlet import (  # type: ignore[import-untyped, unused-ignore]
    GreenletExit,
    getcurrent,
    greenlet,
)

from miniqueue.classroom.explorer.clock import Clock, Dice
from miniqueue.classroom.explorer.store import Answer, Words
from miniqueue.errors import NotRepeatable
from miniqueue.executor import Interrupted

__all__ = ["Actor", "Position", "Process", "Program", "Record", "Request"]

Record = tuple[Any, ...]  # what a program tells the invariants: ("start", "a", 1)
LIVE = 1024  # processes that are kept where they stand, in case they are wanted there next
GRAVEYARD: list[Any] = []  # greenlets that will not end


class Request(NamedTuple):
    """What a thread of a program waits for.

    `kind` is call (a command), pause (a step of its own), sleep, or deadlines (time to recover).
    """

    kind: str
    words: Words = ()
    until_ms: int | None = None  # a sleep's end, a blocking command's timeout
    blocks: bool = False  # a command that waits until there is something
    label: str = ""


class Actor:
    """What a program has in its hands: `redis`, `run`, a name, a clock, and threads.

    `redis` looks like redis.Redis(decode_responses=True). Each command is a step.
    """

    def __init__(self, name: str, process: Running) -> None:
        self.name = name
        self._process = process

    @functools.cached_property
    def redis(self) -> Any:
        from miniqueue.classroom.explorer.client import VirtualRedis

        return VirtualRedis(self, self._process.load)

    def run(self, task: Any) -> Any:
        """Run a task: it starts, it may take long (a step), it has its effect; gives `task`."""
        self.record("start", str(task))
        self.pause(f"runs {task}")
        self.record("effect", str(task))
        return task

    def record(self, *words: Any) -> None:
        """Tell the invariants something; it belongs to the step that is going on."""
        self._process.records.append(tuple(words))

    def pause(self, label: str) -> None:
        """A step of this program's own, which touches nothing."""
        self.ask(Request("pause", label=label))

    def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved so far."""
        until = self.now_ms + max(0, int(seconds * 1000))
        self.ask(Request("sleep", until_ms=until, label=f"sleeps {seconds:g} s"))

    def pass_deadlines(self) -> None:
        """For a program that recovers: the clock moves past all leases and times to live."""
        self.ask(Request("deadlines", label="waits until every lease has run out"))

    def spawn(self, name: str, function: Callable[[], object]) -> None:
        """Start a second thread in the same process; both share its memory and die together."""
        self._process.spawn(f"{self.name} {name}", function)

    @property
    def now_ms(self) -> int:
        """The time, in ms."""
        return self._process.clock.read_ms()

    def ask(self, request: Request) -> Any:
        """Stop here until the scheduler goes on with this thread; gives the reply."""
        return self._process.ask(request)


Program = Callable[[Actor], object]


@dataclass(slots=True)
class Position:
    """Where a process stands: what it was told, and what each of its threads asks for."""

    number: int
    before: Position | None
    told: tuple[int, Answer, int]  # the thread, the answer, the time
    threads: tuple[str, ...]
    requests: tuple[Request | None, ...]  # None: this thread has ended
    records: tuple[Record, ...] = ()  # told in this step
    error: str = ""  # the last line of the traceback of a thread that raised
    depth: int = 0

    @property
    def ended(self) -> bool:
        return all(request is None for request in self.requests)


NOTHING = Answer(-1, None)


class Running:
    """A process that really runs: its greenlets, each stopped at a request."""

    def __init__(
        self, name: str, program: Program, clock: Clock, load: Callable[[str], object]
    ) -> None:
        self.clock = clock
        self.load = load
        self.records: list[Record] = []
        self.error = ""
        self.threads: list[str] = []
        self.requests: list[Request | None] = []
        self._greenlets: list[Any] = []
        self._dice = Dice(name)
        self._hub: Any = None
        self._new: list[int] = []
        self._dying = 0
        self._actor = Actor(name, self)
        self._program = program
        self._name = name

    def start(self, now_ms: int) -> None:
        self.spawn("", lambda: self._program(self._actor), self._name)
        self._go(None, None, now_ms)

    def spawn(self, label: str, function: Callable[[], object], name: str = "") -> None:
        self._new.append(len(self._greenlets))
        self.threads.append(name or label)
        self.requests.append(None)
        self._greenlets.append(greenlet(function))

    def resume(self, thread: int, value: Any, now_ms: int) -> None:
        """Go on with one thread until it asks for the next thing."""
        self.records, self.error = [], ""
        self._go(thread, value, now_ms)

    def ask(self, request: Request) -> Any:
        if self._dying:
            self._dying += 1
            if self._dying > 100:  # it catches everything, and tries again for ever
                GRAVEYARD.append(getcurrent())
                self._hub.switch(None)
            raise GreenletExit
        reply = self._hub.switch(request)
        if isinstance(reply, Exception):
            raise type(reply)(*reply.args)
        return reply

    def kill(self) -> None:
        """End the greenlets; what they do on their way out reaches nobody."""
        self._dying, self._hub = 1, getcurrent()
        for thread in self._greenlets:
            if thread and not thread.dead:
                thread.parent = self._hub
                with contextlib.suppress(Exception):
                    thread.throw(GreenletExit)

    def _go(self, thread: int | None, value: Any, now_ms: int) -> None:
        clock = self.clock
        before = clock.sleeper, clock.dice
        clock.now_ms, clock.sleeper, clock.dice = now_ms, self._actor.sleep, self._dice
        clock.was_read = False
        self._hub = getcurrent()
        try:
            if thread is not None:
                self._switch(thread, value)
            while self._new:
                self._switch(self._new.pop(0), None)
        finally:
            clock.sleeper, clock.dice = before

    def _switch(self, thread: int, value: Any) -> None:
        running = self._greenlets[thread]
        running.parent = self._hub
        try:
            asked = running.switch(*([value] if running else []))
        except (Exception, SystemExit, Interrupted) as error:  # others come from outside: Ctrl-C
            self.error = _last_line(error)
            asked = None
        self.requests[thread] = asked if isinstance(asked, Request) and not running.dead else None


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]


@dataclass
class Process:
    """A program by name, and all the positions in which it was seen."""

    name: str
    program: Program
    clock: Clock
    load: Callable[[str], object]  # a Lua script, into the store
    positions: list[Position]  # shared by all processes of an exploration
    runs: int = 0
    _known: dict[tuple[int, int, int, int], Position] = field(default_factory=dict)
    _live: OrderedDict[int, Running] = field(default_factory=OrderedDict)

    def start(self, now_ms: int) -> Position:
        """The first position: the program has run up to its first step."""
        key = (-1, 0, -1, now_ms)
        if key not in self._known:
            self._known[key] = self._position(None, (0, NOTHING, now_ms), self._begun(now_ms))
        return self._known[key]

    def after(self, position: Position, thread: int, answer: Answer, now_ms: int) -> Position:
        """The position after one thread has had an answer.

        The time makes a difference only if the program looks at a clock before its next step.
        """
        at_any_time = (position.number, thread, answer.number, -1)
        key = (position.number, thread, answer.number, now_ms)
        found = self._known.get(at_any_time) or self._known.get(key)
        if found is None:
            running = self._live.pop(position.number, None) or self._replay(position)
            running.resume(thread, answer.value, now_ms)
            key = key if self.clock.was_read else at_any_time
            found = self._known[key] = self._position(position, (thread, answer, now_ms), running)
        return found

    def close(self) -> None:
        """End what still runs."""
        for running in self._live.values():
            running.kill()
        self._live.clear()

    def _begun(self, now_ms: int) -> Running:
        self.runs += 1
        running = Running(self.name, self.program, self.clock, self.load)
        running.start(now_ms)
        return running

    def _replay(self, position: Position) -> Running:
        path = [position]
        while path[-1].before is not None:
            path.append(path[-1].before)
        running = self._begun(path[-1].told[2])
        self._compare(running, path[-1])
        for step in reversed(path[:-1]):
            thread, answer, now_ms = step.told
            running.resume(thread, answer.value, now_ms)
            self._compare(running, step)
        return running

    def _compare(self, running: Running, position: Position) -> None:
        """Raise NotRepeatable unless the process asks for what it has asked for before."""
        if tuple(running.requests) != position.requests:
            running.kill()
            raise NotRepeatable(
                f"{self.name} was told the same and did something else: it asked for "
                f"{_brief(position.requests)} before and for {_brief(running.requests)} now. "
                "Programs must take time and chance from time, random, uuid, secrets or os, "
                "and share nothing but Redis"
            )

    def _position(
        self, before: Position | None, told: tuple[int, Answer, int], running: Running
    ) -> Position:
        position = Position(
            number=len(self.positions),
            before=before,
            told=told,
            threads=tuple(running.threads),
            requests=tuple(running.requests),
            records=tuple(running.records),
            error=running.error,
            depth=before.depth + 1 if before else 0,
        )
        self.positions.append(position)
        self._live[position.number] = running
        if len(self._live) > LIVE:
            self._live.popitem(last=False)[1].kill()
        return position


def _brief(requests: Any) -> str:
    return " and ".join(" ".join(map(str, r.words)) or r.label for r in requests if r) or "nothing"
