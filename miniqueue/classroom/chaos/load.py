"""Load: what clients send, by a seeded plan, and what they were told in return."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from miniqueue.classroom.chaos.history import History
from miniqueue.classroom.chaos.threads import Threads
from miniqueue.errors import BackendUnavailable, MiniQueueError
from miniqueue.queue import Queue

__all__ = ["DIAL", "MIX", "Clients", "Item", "Mix", "lengthened", "plan", "poison"]

Options = dict[str, Any]
PAUSE_S = 0.2  # between two tries to send the same
TRIES = 100
BULK = 10
EACH, MOST_TWINS = 500, 12  # tasks for one client, and the most clients of a kind

Mix = tuple[tuple[str, float, float, float], ...]  # job, share of the tasks, seconds (from, to)
MIX: Mix = (
    ("work", 0.62, 0.0, 0.02),
    ("work", 0.11, 0.02, 0.1),
    ("work_async", 0.08, 0.0, 0.04),
    ("wobbly", 0.06, 0.0, 0.01),
    ("once", 0.10, 0.0, 0.06),
    ("doomed", 0.03, 0.0, 0.01),
)
DIAL: Mix = (("work", 0.5, 0.0, 0.06), ("once", 0.5, 0.0, 0.06))  # to compare guarantees


@dataclass(frozen=True, slots=True)
class Item:
    """A task to send: when, how, and as what."""

    key: str
    at: float
    job: str
    seconds: float
    via: str  # http, bulk, python, or cut: written to the socket, the answer never read
    options: Options = field(default_factory=dict)
    keyed: bool = False  # with an Idempotency-Key, and so sent again until it is accepted
    cancelled: bool = False  # the client changes its mind
    parent: str = ""  # the key of a task to wait for


POISON_ATTEMPTS = 3
LIMIT: Options = {"max_attempts": POISON_ATTEMPTS}
LONG = (1.2, 1.5)  # seconds of a task that outlives its lease, in leases


def plan(count: int, seconds: float, rng: random.Random, mix: Mix = MIX) -> list[Item]:
    """`count` items over so many seconds, none of them long or poisonous."""
    jobs = rng.choices(mix, [share for _, share, _, _ in mix], k=count)
    items: list[Item] = []
    for i, (job, _, low, high) in enumerate(jobs):
        via = rng.choices(("http", "bulk", "python", "cut"), (0.45, 0.22, 0.3, 0.03))[0]
        plain = via in ("http", "python")
        items.append(
            Item(
                key=f"{job}-{i}",
                at=seconds * i / count,
                job=job,
                seconds=round(rng.uniform(low, high), 4),
                via=via,
                options=_options(rng),
                keyed=plain and rng.random() < 0.5,
                cancelled=via == "http" and rng.random() < 0.03,
                parent=items[i - 20].key if plain and i >= 20 and rng.random() < 0.04 else "",
            )
        )
    return items


def lengthened(items: list[Item], share: float, rng: random.Random, lease_s: float) -> list[Item]:
    """The same with a share of the plain tasks longer than a lease."""
    return [
        replace(item, seconds=round(rng.uniform(*LONG) * lease_s, 4))
        if item.job == "work" and rng.random() < share
        else item
        for item in items
    ]


def poison(count: int, seconds: float, rng: random.Random) -> list[Item]:
    """Tasks that kill their workers, spread over the time."""
    return [
        Item(f"poison-{i}", seconds * (i + rng.random()) / count, "poison", 0.01, "http", LIMIT)
        for i in range(count)
    ]


def _options(rng: random.Random) -> Options:
    options: Options = {}
    if rng.random() < 0.2:
        options["priority"] = rng.choice(("high", "low"))
    if rng.random() < 0.08:
        options["delay_s"] = round(rng.uniform(0.05, 2.0), 3)
    return options


class Clients:
    """Threads that send the items when their time has come; what they learn is in the history."""

    def __init__(self, url: str, queue: Queue, history: History) -> None:
        self._url = url
        self._queue = queue
        self._history = history
        self._ids: dict[str, str] = {}  # of accepted tasks, by key
        self._threads = Threads()

    def start(self, items: Sequence[Item]) -> None:
        """Clients over HTTP and in Python, as many as it takes, one that sends in bulk, one that
        hangs up.
        """
        senders: dict[str, Callable[[Sequence[Item]], None]] = {
            "http": self._over_http,
            "bulk": self._in_bulk,
            "cut": self._hang_up,
            "python": self._in_python,
        }
        for via, send in senders.items():
            mine = [item for item in items if item.via == via]
            twins = min(MOST_TWINS, 1 + len(mine) // EACH) if via in ("http", "python") else 1
            for part in (mine[i::twins] for i in range(twins)):
                self._threads.run(functools.partial(send, part))

    @property
    def done(self) -> bool:
        """Whether all is sent. Raises what has ended a client."""
        self._threads.check()
        return not self._threads.alive

    def stop(self) -> None:
        """Send nothing more."""
        self._threads.stop(10)

    # -- ways to send ----------------------------------------------------------------------------

    def _over_http(self, items: Sequence[Item]) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as http:
            for item in self._due(items):
                self._send(item, functools.partial(self._post, http))
                if item.cancelled and item.key in self._ids:
                    self._cancel(http, item)

    def _post(self, http: httpx.Client, item: Item, body: Options) -> str | None:
        headers = {"Idempotency-Key": item.key} if item.keyed else {}
        try:
            reply = http.post("/task", json=body, headers=headers)
        except httpx.TransportError as error:
            self._unknown(item, error)
            return None
        if reply.status_code in (200, 202):
            return str(reply.json()["task_id"])
        self._unknown(item, f"status {reply.status_code}")
        return None

    def _cancel(self, http: httpx.Client, item: Item) -> None:
        with contextlib.suppress(httpx.TransportError):
            reply = http.delete(f"/task/{self._ids[item.key]}")
            if reply.status_code in (200, 202):
                running = "running" if reply.status_code == 202 else ""
                self._history.add("cancelled", item.key, id=self._ids[item.key], note=running)

    def _in_bulk(self, items: Sequence[Item]) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as http:
            for part in (items[at : at + BULK] for at in range(0, len(items), BULK)):
                for _ in self._due(part[-1:]):
                    self._post_many(http, part)

    def _post_many(self, http: httpx.Client, items: Sequence[Item]) -> None:
        for item in items:
            self._history.add("sent", item.key)
        try:
            reply = http.post("/tasks", json={"tasks": [self._body(item) for item in items]})
        except httpx.TransportError as error:
            for item in items:
                self._unknown(item, error)
            return
        accepted = reply.json()["task_ids"] if reply.status_code == 202 else []
        for item, task_id in itertools.zip_longest(items, accepted):
            if task_id is None:
                self._unknown(item, f"status {reply.status_code}")
            else:
                self._accepted(item, task_id)

    def _in_python(self, items: Sequence[Item]) -> None:
        for item in self._due(items):
            self._send(item, self._enqueue)

    def _enqueue(self, item: Item, body: Options) -> str | None:
        options = {k: v for k, v in body.items() if k not in ("name", "args")}
        if item.keyed:
            options["idempotency_key"] = item.key
        if "after" in options:
            options["after"] = tuple(options["after"])
        try:
            return self._queue.enqueue_call(item.job, [item.key, item.seconds], {}, options).id
        except BackendUnavailable as error:
            self._unknown(item, error)
            return None
        except MiniQueueError as error:
            self._history.add("refused", item.key, note=str(error))
            return ""

    def _hang_up(self, items: Sequence[Item]) -> None:
        """Write the whole request, close the connection: the task is there, its client does not
        know.
        """
        host, port = self._url.removeprefix("http://").split(":")
        for item in self._due(items):
            self._history.add("sent", item.key)
            body = json.dumps(self._body(item)).encode()
            head = f"POST /task HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, int(port)), timeout=5) as connection,
            ):
                connection.sendall(head.encode() + body)
            self._unknown(item, "hung up")

    # -- what they have in common ----------------------------------------------------------------

    def _due(self, items: Sequence[Item]) -> Iterator[Item]:
        """Each when its time has come; none any more after stop()."""
        for item in items:
            wait_s = item.at - self._history.now()
            if self._threads.ending.wait(max(0.0, wait_s)):
                return
            yield item

    def _send(self, item: Item, try_once: Callable[[Item, Options], str | None]) -> None:
        """Once; an item with an Idempotency-Key again until it is known to be accepted."""
        self._history.add("sent", item.key)
        body = self._body(item)
        for _ in itertools.repeat(None, TRIES if item.keyed else 1):
            task_id = try_once(item, body)
            if task_id is not None:
                if task_id:
                    self._accepted(item, task_id)
                return
            if self._threads.ending.wait(PAUSE_S if item.keyed else 0):
                return

    def _accepted(self, item: Item, task_id: str) -> None:
        self._ids[item.key] = task_id
        self._history.add("accepted", item.key, id=task_id)

    def _unknown(self, item: Item, why: object) -> None:
        """Nobody knows whether it was accepted."""
        self._history.add("unknown", item.key, note=str(why)[:100])

    def _body(self, item: Item) -> Options:
        body = {"name": item.job, "args": [item.key, item.seconds], **item.options}
        if parent := self._ids.get(item.parent):
            body = {**body, "after": [parent]}
            body.pop("delay_s", None)
        return body
