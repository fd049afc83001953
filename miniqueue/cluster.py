"""Cluster: carries a Call to the node that holds its keys, in a Redis Cluster.

A queue's keys share a hash tag, so all of a queue is in one slot, on one node, and its scripts run
there as on a single Redis; queues spread over the nodes. What all queues share (mq:queues,
mq:workers, ...) is read and written by commands of one key each, which go wherever that key is.
A command without a key, like TIME, goes with the others of its round trip, or to the home queue.

The map of slots is asked of any node. When a node does not answer, or says that the keys moved, it
is asked anew. Only a call that a node refused with MOVED, and so did not carry out, is sent again:
whether anything else may be sent twice, only the caller knows. While a slot is moving from node to
node, its queue is away.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from miniqueue.address import Place
from miniqueue.errors import BackendUnavailable
from miniqueue.protocol.calls import Call, Sent, same

__all__ = ["AsyncClusterClient", "ClusterClient", "Moved", "Slots", "slot_of"]

T = TypeVar("T")
SLOTS = 16_384
HOPS = 5  # how often a call is sent on before somebody is told
BEHIND = {"XREAD": "STREAMS", "SCAN": "MATCH"}  # after this word comes the key, or its pattern
ASK: Call[Any] = Call("CLUSTER", (), ("SLOTS",), same)


class Moved(BackendUnavailable):
    """The keys of a call are on another node; it was not carried out."""

    def __init__(self, place: Place) -> None:
        super().__init__(
            f"these keys are on {place}, another node of a cluster; "
            "MINIQUEUE_REDIS_URL must begin with redis+cluster://"
        )
        self.place = place


class Node(Protocol):
    """What is asked of a client of one node."""

    raw: Any

    def run(self, call: Call[T]) -> T: ...
    def send_each(self, calls: Sequence[Call[Any]]) -> Sent: ...
    def close(self) -> None: ...


class AsyncNode(Protocol):
    """The asynchronous twin."""

    raw: Any

    async def run(self, call: Call[T]) -> T: ...
    async def run_alone(self, call: Call[T]) -> T: ...
    async def close(self) -> None: ...


def slot_of(key: str) -> int:
    """The slot of a key: CRC16 of its hash tag, if it has one, else of all of it.

    >>> slot_of("mq:{default}:wake") == slot_of("default"), slot_of("123456789")
    (True, 12739)
    """
    start = key.find("{")
    end = key.find("}", start + 1)
    tag = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def key_of(call: Call[Any]) -> str | None:
    """The key that says where a call must go."""
    if call.keys:
        return call.keys[0]
    if call.name in BEHIND:
        return str(call.args[list(call.args).index(BEHIND[call.name]) + 1])
    return None


class Slots:
    """Which node has which slot, as far as is known; and whom to ask."""

    def __init__(self, seeds: Iterable[Place], home: str) -> None:
        self._home = home
        self._candidates = list(seeds)
        self._owners: list[Place | None] = []

    @property
    def known(self) -> bool:
        return bool(self._owners)

    def candidates(self) -> list[Place]:
        """Whom to ask for the map, the likeliest first."""
        return list(self._candidates)

    def doubt(self, place: Place | None = None) -> None:
        """Ask anew before the next call; this node, if any, last: it did not answer."""
        self._owners = []
        if place in self._candidates:
            self._candidates = [*(p for p in self._candidates if p != place), place]

    def learn(self, reply: Any, asked: Place) -> None:
        """Take in a reply of CLUSTER SLOTS; a node without a name is the one that was asked."""
        owners: list[Place | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_ in reply:
            owner = Place(host or asked.host, int(port))
            owners[first : last + 1] = [owner] * (last - first + 1)
        found = [owner for owner in dict.fromkeys(owners) if owner is not None]
        others = [place for place in self._candidates if place not in found]
        self._candidates = [*found, *others][:100]
        self._owners = owners

    def places(self, calls: Sequence[Call[Any]]) -> list[Place]:
        """The node of each call. Raises BackendUnavailable for a slot that no node has."""
        keys = [key_of(call) for call in calls]
        near = next((key for key in keys if key is not None), self._home)
        return [self.owner(slot_of(near if key is None else key)) for key in keys]

    def owner(self, slot: int) -> Place:
        owner = self._owners[slot] if self._owners else None
        if owner is None:
            self.doubt()
            raise BackendUnavailable(f"no node of the cluster has slot {slot} now")
        return owner

    def owners(self) -> list[Place]:
        """Every node that has a slot."""
        return [owner for owner in dict.fromkeys(self._owners) if owner is not None]


class ClusterClient:
    """As Client, over the nodes of a cluster; `make` gives a client of one node."""

    def __init__(self, make: Callable[[Place], Node], seeds: Sequence[Place], home: str) -> None:
        self._make = make
        self._nodes: dict[Place, Node] = {}
        self._slots = Slots(seeds, home)

    @property
    def raw(self) -> Any:
        """redis-py's client of the home queue's node."""
        return self._node(self._places([ASK])[0]).raw

    def nodes(self) -> list[Any]:
        """redis-py's clients of all nodes that have slots."""
        self._places([])
        return [self._node(place).raw for place in self._slots.owners()]

    def run(self, call: Call[T]) -> T:
        """As Client.run."""
        result: T = self.run_many([call])[0]
        return result

    def run_many(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """As Client.run_many: a round trip to each node that is concerned, all at once."""
        return self.send(calls).replies()

    def send(self, calls: Sequence[Call[Any]]) -> Sent:
        """As Client.send; calls to nodes that answer are carried out although another does not."""
        found: list[Any] = [None] * len(calls)
        groups: dict[Place, list[int]] = {}
        for index, place in enumerate(self._places(calls)):
            groups.setdefault(place, []).append(index)
        sent = [
            (place, of, self._post(place, [calls[i] for i in of])) for place, of in groups.items()
        ]

        def replies() -> list[Any]:
            for place, of, posted in sent:
                for index, outcome in zip(of, self._outcomes(place, posted, len(of)), strict=True):
                    found[index] = outcome
            return [self._settled(call, one) for call, one in zip(calls, found, strict=True)]

        return Sent(replies)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _post(self, place: Place, calls: Sequence[Call[Any]]) -> Sent | BackendUnavailable:
        try:
            return self._node(place).send_each(calls)
        except BackendUnavailable as error:
            return error

    def _outcomes(self, place: Place, posted: Sent | BackendUnavailable, count: int) -> list[Any]:
        """The reply of each call, or its error."""
        try:
            if isinstance(posted, Sent):
                return posted.replies()
        except BackendUnavailable as error:
            posted = error
        self._slots.doubt(place)
        return [posted] * count

    def _settled(self, call: Call[Any], outcome: Any) -> Any:
        for _ in range(HOPS):
            if not isinstance(outcome, Moved):
                break
            self._slots.doubt()
            place = outcome.place if outcome.place.host else self._places([call])[0]
            outcome = self._outcomes(place, self._post(place, [call]), 1)[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _places(self, calls: Sequence[Call[Any]]) -> list[Place]:
        if not self._slots.known:
            self._ask()
        return self._slots.places(calls)

    def _ask(self) -> None:
        errors: list[str] = []
        for place in self._slots.candidates():
            try:
                self._slots.learn(self._node(place).run(ASK), place)
                return
            except BackendUnavailable as error:
                errors.append(f"{place}: {error.problem}")
        raise BackendUnavailable(silence(errors))

    def _node(self, place: Place) -> Node:
        node = self._nodes.get(place)
        return node or self._nodes.setdefault(place, self._make(place))


class AsyncClusterClient:
    """As AsyncClient, over the nodes of a cluster."""

    def __init__(
        self, make: Callable[[Place], AsyncNode], seeds: Sequence[Place], home: str
    ) -> None:
        self._make = make
        self._nodes: dict[Place, AsyncNode] = {}
        self._slots = Slots(seeds, home)
        self._asking = asyncio.Lock()

    async def run(self, call: Call[T]) -> T:
        """As AsyncClient.run: calls of one turn to one node share a round trip."""
        return await self._carry(call, lambda node, one: node.run(one))

    async def run_alone(self, call: Call[T]) -> T:
        """As AsyncClient.run_alone."""
        return await self._carry(call, lambda node, one: node.run_alone(one))

    async def close(self) -> None:
        for node in self._nodes.values():
            await node.close()

    async def _carry(self, call: Call[T], carry: Callable[[AsyncNode, Call[T]], Any]) -> T:
        place = await self._place(call)
        for _ in range(HOPS):
            try:
                result: T = await carry(self._node(place), call)
                return result
            except Moved as moved:
                self._slots.doubt()
                place = moved.place if moved.place.host else await self._place(call)
            except BackendUnavailable:
                self._slots.doubt(place)
                raise
        raise BackendUnavailable(f"its keys have moved {HOPS} times")

    async def _place(self, call: Call[Any]) -> Place:
        if not self._slots.known:
            await self._ask()
        return self._slots.places([call])[0]

    async def _ask(self) -> None:
        async with self._asking:
            errors: list[str] = []
            for place in [] if self._slots.known else self._slots.candidates():
                try:
                    self._slots.learn(await self._node(place).run(ASK), place)
                    break
                except BackendUnavailable as error:
                    errors.append(f"{place}: {error.problem}")
            if not self._slots.known:
                raise BackendUnavailable(silence(errors))

    def _node(self, place: Place) -> AsyncNode:
        if place not in self._nodes:
            self._nodes[place] = self._make(place)
        return self._nodes[place]


def silence(errors: Sequence[str]) -> str:
    """What is said when no node answers."""
    return f"no node of the cluster answers: {errors[0] if errors else 'none is known'}" + (
        f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    )
