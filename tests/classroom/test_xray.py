"""What the x-ray shows is what Redis does, and looking changes nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest

from miniqueue.classroom.xray import XRay, recording, xray, xray_markdown, xray_of
from miniqueue.classroom.xray_examples import EXAMPLES
from miniqueue.errors import ConfigError, MiniQueueError, QueueFull
from miniqueue.functions import add
from miniqueue.protocol.calls import Call, scripts
from miniqueue.protocol.records import Claims
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.settings import Settings
from tests.protocol.bench import result, sent, snapshot

TIME = r"\b1[0-9]{12}\b(\.[0-9]+)?"


@pytest.fixture(params=["server", "fakeredis"])
def any_queue(request: pytest.FixtureRequest, settings: Settings) -> Queue:
    """An empty queue on the private server, and on fakeredis."""
    if request.param == "server":
        return Queue(settings=settings, client=request.getfixturevalue("client"))
    raw = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    return Queue(settings=settings, client=Client(raw))


def carry_out(queue: Queue, name: str, run: Callable[[Call[Any]], object]) -> None:
    """The steps of an example on a real clock; waits become due times in the past."""
    for step in EXAMPLES[name](queue.protocol):
        if not isinstance(step, int):
            run(step)


def without_times(words: Any) -> Any:
    return re.sub(TIME, "TIME", re.sub(r"PX [0-9]+", "PX", repr(words)))


def monitored(queue: Queue, name: str) -> list[list[str]]:
    """The commands inside the last step of an example, as MONITOR tells them."""
    *before, last = (s for s in EXAMPLES[name](queue.protocol) if not isinstance(s, int))
    for step in before:
        queue.client.run(step)
    with queue.client.raw.monitor() as monitor:
        queue.client.run(last)
        queue.client.raw.echo("the end")
        told = iter(monitor.next_command, None)
        inside = []
        for command in told:
            if command["client_type"] == "lua":
                inside.append(command["command"])
            elif command["command"] == "ECHO the end":
                return inside
    raise AssertionError("MONITOR ended")


@pytest.mark.parametrize("name", scripts())
def test_it_shows_the_commands_that_monitor_shows(queue: Queue, name: str) -> None:
    told = monitored(queue, name)
    queue.client.raw.flushdb()
    seen: list[XRay] = []
    carry_out(queue, name, lambda call: seen.append(xray(queue, call)))
    ours = [" ".join(words) for words in seen[-1].commands]
    assert without_times(ours) == without_times(told)


@pytest.mark.parametrize("name", sorted({*scripts()} - {"reserve"}))  # its reply is a time
def test_looking_changes_nothing(any_queue: Queue, name: str) -> None:
    replies: list[Any] = []
    carry_out(any_queue, name, lambda call: replies.append(any_queue.client.run(call)))
    plain = snapshot(any_queue.client, any_queue)
    any_queue.client.raw.flushdb()
    seen: list[Any] = []
    carry_out(any_queue, name, lambda call: seen.append(xray(any_queue, call).reply))
    assert without_times(seen) == without_times(replies)
    looked = snapshot(any_queue.client, any_queue)
    assert looked.keys() == plain.keys()
    for path in plain:
        if not path.startswith("ttl "):
            assert without_times(looked[path]) == without_times(plain[path]), path


@pytest.mark.parametrize("name", scripts())
def test_every_operation_has_an_example_that_changes_something(name: str) -> None:
    seen = xray_of(name)
    assert seen.name == name
    assert seen.commands
    assert seen.changes
    assert not isinstance(seen.reply, MiniQueueError)
    assert str(seen) == str(xray_of(name))


def test_a_script_without_an_example_and_no_script_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EXAMPLES, "claim")
    with pytest.raises(ConfigError, match=r"claim.lua has no example yet: add one to"):
        xray_of("claim")
    with pytest.raises(ConfigError, match=r"no operation is called 'klaim'; there are ack, "):
        xray_of("klaim")


def test_a_claim_seen_through(any_queue: Queue) -> None:
    handle = any_queue.enqueue(add, 2, 3)
    seen = xray(any_queue, any_queue.protocol.claim("w1", 10))
    assert isinstance(seen.reply, Claims)
    assert [task.id for task in seen.reply.tasks] == [handle.id]
    assert seen.round_trips == 1
    assert seen.command[0] == "EVALSHA"
    assert ("LPOP", any_queue.protocol.keys.ready[1], "10") in seen.commands
    changes = {change.key: (change.type, change.before, change.after) for change in seen.changes}
    assert changes["M:ready:normal"] == ("list", f"[{handle.id}]", "")
    kind, before, after = changes[f"M:task:{handle.id}"]
    assert (kind, before) == ("hash", "state queued")
    assert set(after.split(", ")) == {"state running", "attempt 1", "worker w1"}
    assert changes["M:running"] == ("zset", "", f"{handle.id} at now + 5000")
    assert "M:paused" in seen.only_read


def test_a_stale_result_changes_nothing(any_queue: Queue) -> None:
    p = any_queue.protocol
    any_queue.client.run(p.enqueue([sent("t1")]))
    any_queue.client.run(p.claim("w1", 1))
    seen = xray(any_queue, p.complete("w1", [result("t1", attempt=7)]))
    assert (seen.reply, seen.changes) == ([0], [])
    assert seen.only_read == ["M:task:t1"]


def test_an_error_is_the_reply(settings: Settings, client: Client) -> None:
    queue = Queue(settings=settings.but(max_queued=1), client=client)
    seen = xray(queue, queue.protocol.enqueue([sent("t1"), sent("t2")]))
    assert isinstance(seen.reply, QueueFull)
    assert seen.changes == []


def test_long_and_many_are_shortened(any_queue: Queue) -> None:
    many = [sent(f"t{n:03}", args=f'["{"long " * 100}"]') for n in range(100)]
    seen = xray(any_queue, any_queue.protocol.enqueue(many))
    after = {change.key: change.after for change in seen.changes}
    assert after["M:ready:normal"].startswith("100 members: [t000, t001,")
    assert after["M:ready:normal"].endswith(
        "t019, …, t080, " + ", ".join(f"t{n:03}" for n in range(81, 100)) + "]"
    )
    assert max(map(len, seen.lines)) <= 96
    assert max(map(len, str(seen).splitlines())) <= 200


def test_a_plain_command_too(any_queue: Queue) -> None:
    any_queue.client.run(any_queue.protocol.enqueue([sent("t1")]))
    key = any_queue.protocol.keys.scheduled
    seen = xray(any_queue, Call("ZADD", (key,), (5, "t9"), int))
    assert seen.commands == [("ZADD", key, "5", "t9")]
    assert [(c.key, c.before, c.after) for c in seen.changes] == [("M:scheduled", "", "t9 at 5")]


def test_recording(any_queue: Queue) -> None:
    plain = any_queue.client
    with recording(any_queue) as record:
        handle = any_queue.enqueue(add, 2, 3)
        assert handle.state == "queued"
    assert any_queue.client is plain
    any_queue.cancel(handle.id)
    assert [(seen.name, seen.round_trips) for seen in record] == [
        ("enqueue", 1),
        ("SADD", 0),  # the queue's name, in the same round trip
        ("HGETALL", 1),
    ]
    assert record[0].reply == [handle.id]


def test_recording_raises_what_the_queue_raises(any_queue: Queue) -> None:
    with recording(any_queue) as record, pytest.raises(MiniQueueError):
        any_queue.cancel("nobody")
    assert [type(seen.reply).__name__ for seen in record] == ["TaskNotFound"]


def test_as_text_and_in_a_notebook() -> None:
    seen = xray_of("extend")
    assert str(seen).splitlines() == [
        "extend: 1 round trip, 3 commands inside",
        "  TIME",
        "  HMGET M:task:t1 attempt state cancel",
        "  ZADD M:running XX now + 15000 t1",
        "  key        before            after",
        "  M:running  t1 at now + 9980  t1 at now + 15000",
        "  only read: M:task:t1",
        "  reply: [1]",
    ]
    shown = seen._repr_html_()
    assert "ZADD M:running XX now + 15000 t1" in shown
    assert "t1 at now + 9980</td>" in shown


def test_a_notebook_shows_html_as_text(any_queue: Queue) -> None:
    hostile = sent("t1", args='["<script>alert(1)</script>"]')
    seen = xray(any_queue, any_queue.protocol.enqueue([hostile]))
    assert "<script>" not in seen._repr_html_()
    assert "&lt;script&gt;" in seen._repr_html_()


def test_for_the_documentation_it_is_quick_and_always_the_same() -> None:
    began = time.monotonic()
    first = {name: xray_markdown(name) for name in scripts()}
    assert time.monotonic() - began < 5
    assert first == {name: xray_markdown(name) for name in scripts()}
    assert "| `M:running` | t1 at now + 9980 | t1 at now + 15000 |" in first["extend"]
    assert not re.search(TIME, "".join(first.values()))
