"""What several requests enqueue in one turn of the loop: one call, and each hears of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from miniqueue.errors import BackendUnavailable, QueueFull, TaskExists
from miniqueue.inspector import Inspector
from miniqueue.joiner import Joiner
from miniqueue.protocol.calls import Call, T
from miniqueue.protocol.operations import Protocol
from miniqueue.protocol.records import Submission
from miniqueue.queue import Queue
from miniqueue.redis_client import AsyncClient, Client, connect_async
from miniqueue.settings import Settings

Told = list[str] | BaseException


class Recorder(AsyncClient):
    """Remembers the number of words of each call."""

    calls: list[int]

    async def run(self, call: Call[T]) -> T:
        self.calls.append(len(call.args))
        return await super().run(call)


def sent(settings: Settings, *parts: Sequence[Submission], most: int = 1000) -> tuple[Any, int]:
    """What each part hears, all of them enqueued in one turn; and the number of calls."""

    async def main() -> tuple[list[Told], int]:
        client = Recorder(connect_async(settings).raw)
        client.calls = []
        joiner = Joiner(client, Protocol(settings, settings.queue), most)
        try:
            told = await asyncio.gather(*map(joiner.enqueue, parts), return_exceptions=True)
        finally:
            await client.close()
        return told, len(client.calls)

    return asyncio.run(main())


def one(task_id: str, **options: Any) -> list[Submission]:
    return [Submission(task_id, "echo", "[1]", "{}", "normal", 3, **options)]


def test_enqueues_of_one_turn_are_one_call(settings: Settings, client: Client) -> None:
    told, calls = sent(settings, one("a"), one("b") + one("c"), one("d"))
    assert told == [["a"], ["b", "c"], ["d"]]
    assert calls == 1
    ready = client.raw.lrange(Protocol(settings, settings.queue).keys.ready[1], 0, -1)
    assert ready == ["a", "b", "c", "d"]


def test_a_call_carries_so_many_tasks_and_no_more(settings: Settings, client: Client) -> None:
    told, calls = sent(settings, one("a") + one("b"), one("c"), one("d"), most=2)
    assert told == [["a", "b"], ["c"], ["d"]]
    assert calls == 2


def test_a_part_that_is_refused_does_not_take_the_others_with_it(
    settings: Settings, client: Client
) -> None:
    known = one("a", unique="k", digest="1")
    told, _ = sent(settings, known, one("b"), one("c", unique="k", digest="2"))
    assert told[:2] == [["a"], ["b"]]
    assert isinstance(told[2], TaskExists)


def test_a_full_queue_takes_those_that_fit(settings: Settings, client: Client) -> None:
    told, _ = sent(replace(settings, max_queued=2), one("a"), one("b"), one("c"))
    assert told[:2] == [["a"], ["b"]]
    assert isinstance(told[2], QueueFull)
    assert Inspector(Queue(settings=settings, client=client)).check() == []


def test_two_of_one_key_in_one_turn_are_one_task(settings: Settings, client: Client) -> None:
    told, calls = sent(settings, one("a", unique="k", digest="1"), one("b", unique="k", digest="1"))
    assert (told, calls) == ([["a"], ["a"]], 1)


def test_what_comes_while_a_call_is_on_its_way_goes_together_in_the_next(
    settings: Settings, client: Client
) -> None:
    async def main() -> list[int]:
        recorder = Recorder(connect_async(settings).raw)
        recorder.calls = []
        joiner = Joiner(recorder, Protocol(settings, settings.queue), 1000)
        waiting = [asyncio.create_task(joiner.enqueue(one("a")))]
        while not recorder.calls:
            await asyncio.sleep(0)
        for task_id in "bc":  # each in a turn of its own
            waiting.append(asyncio.create_task(joiner.enqueue(one(task_id))))
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [["a"], ["b"], ["c"]]
        await recorder.close()
        return recorder.calls

    assert len(asyncio.run(main())) == 2


def test_where_redis_is_away_those_who_wait_behind_hear_it_at_once(settings: Settings) -> None:
    class Away(AsyncClient):
        calls = 0

        async def run(self, call: Call[T]) -> T:
            self.calls += 1
            await asyncio.sleep(0)
            raise BackendUnavailable("gone")

    async def main() -> tuple[list[Told], int]:
        away = Away(None)
        joiner = Joiner(away, Protocol(settings, settings.queue), 1)
        told = await asyncio.gather(*map(joiner.enqueue, map(one, "abc")), return_exceptions=True)
        return told, away.calls

    told, calls = asyncio.run(main())
    assert [type(error) for error in told] == [BackendUnavailable] * 3
    assert calls == 1
