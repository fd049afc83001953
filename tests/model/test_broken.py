"""The machine finds a script with a broken line, whichever it is (minutes; the long profile)."""

from __future__ import annotations

import pytest

from miniqueue.classroom.plants import Plant, edited
from miniqueue.protocol.calls import script
from miniqueue.redis_client import Client
from tests.model.test_model import LIMIT_S, LONG, red

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S)]

# operation, a line or a part of it, what stands there instead
BROKEN = [
    ("extend", "t[1] == ARGV[i + 1] and t[2] == 'running'", "t[2] == 'running'"),
    ("extend", "t[1] == ARGV[i + 1] and t[2] == 'running'", "t[1] == ARGV[i + 1]"),
    (
        "complete",
        "local owned = t[1] == attempt and t[2] == 'running'",
        "local owned = t[1] == attempt",
    ),
    ("complete", "if t[4] then redis.call('RPUSH', prefix .. 'ended', id) end", ""),
    ("complete", "redis.call('PEXPIRE', key, keep)", ""),
    ("fail", "if t[4] and state == 'scheduled' then state = 'cancelled' end", ""),
    ("fail", "t[1] ~= attempt or t[2] ~= 'running'", "t[2] ~= 'running'"),
    ("fail", "redis.call('ZREM', KEYS[1], id)", ""),
    (
        "release",
        "local owned = t[1] == attempt and t[2] == 'running'",
        "local owned = t[2] == 'running'",
    ),
    ("release", "'LPUSH', lists", "'RPUSH', lists"),
    ("release", "'released', (tonumber(t[4]) or 0) + 1", "'released', (tonumber(t[4]) or 0)"),
    ("release", "if owned and t[5] then", "if false then"),
    ("reclaim", "'LPUSH', lists", "'RPUSH', lists"),
    ("reclaim", "(tonumber(t[1]) or 0) - (tonumber(t[3]) or 0)", "(tonumber(t[1]) or 0)"),
    ("reclaim", "if t[8] then redis.call('RPUSH', prefix .. 'ended', id) end", ""),
    (
        "claim",
        "redis.call('LPOP', KEYS[list], most - #told)",
        "redis.call('RPOP', KEYS[list], most - #told)",
    ),
    ("claim", "if redis.call('EXISTS', KEYS[3]) == 1 then most = 0 end", ""),
    ("claim", "(tonumber(few[1]) or now + 1) <= now", "false"),
    ("claim", "(t[1] or t[8]) and", "t[1] and"),
    ("claim", "if children then redis.call('RPUSH', prefix .. 'ended', id) end", ""),
    ("enqueue", "'PX', ttl + its.delay_ms", "'PX', ttl"),
    ("enqueue", "if older:sub(1, #its.digest) ~= its.digest then", "if false then"),
    ("enqueue", "redis.call('EXISTS', unpack(keys)) > 0 and #keys or 0", "0"),
    ("enqueue", "waiting + #fresh > most", "waiting > most"),
    ("enqueue", "if ended then redis.call('RPUSH', prefix .. 'ended', parent) end", ""),
    ("enqueue", "'LLEN', 'ZCARD', 'ZCARD'}", "'LLEN', 'ZCARD'}"),
    ("promote", "redis.call('ZREM', KEYS[1], id)", ""),
    ("promote", "lists[t[2]] or lists.normal", "lists.normal"),
    (
        "cancel",
        "redis.call('LREM', lists[t[2]] or lists.normal, 1, id)",
        "redis.call('LREM', lists.normal, 1, id)",
    ),
    ("cancel", "redis.call('ZREM', KEYS[8], id)", ""),
    ("cancel", "redis.call('HSET', key, 'cancel', ARGV[5])", ""),
    ("retry", "'released', t[3] or 0", "'released', 0"),
    ("retry", "'released', t[3] or 0, 'due_ms'", "'released', 0, 'attempt', 0, 'due_ms'"),
    ("retry", "redis.call('PERSIST', key)", ""),
    ("retry", "if (tonumber(t[4]) or 0) > 0 then return 'orphaned' end", ""),
    ("retry", "'finished_ms', 'cancel', 'expires_ms'", "'cancel', 'expires_ms'"),
    ("retry", "'finished_ms', 'cancel', 'expires_ms'", "'finished_ms', 'expires_ms'"),
    ("retry", "'finished_ms', 'cancel', 'expires_ms'", "'finished_ms', 'cancel'"),
    (
        "advance",
        "if redis.call('HINCRBY', key, 'pending', -1) > 0 then return end",
        "redis.call('HINCRBY', key, 'pending', -1)",
    ),
    ("advance", "if t[1] ~= 'deferred' then return end", ""),
    ("advance", "if grown then redis.call('RPUSH', KEYS[1], child) end", ""),
    ("advance", "state == 'succeeded' and 'queued' or 'failed'", "'queued'"),
    ("forget", "for i = 1, 2 do", "for i = 1, 1 do"),
    ("postpone", "t[1] ~= ARGV[4] or t[2] ~= 'running'", "t[2] ~= 'running'"),
    ("postpone", "'released', (tonumber(t[3]) or 0) + 1, ", ""),
    ("ack", "t[1] ~= ARGV[1] or ", ""),
    ("save", "t[1] ~= ARGV[1] or ", ""),
    ("report", "t[1] ~= ARGV[1] or ", ""),
    ("emit", "or t[2] ~= 'running'", ""),
    (
        "resume",
        "if redis.call('DEL', KEYS[1]) == 0 then return 0 end",
        "redis.call('DEL', KEYS[1])",
    ),
    ("pause", "1, 'NX'", "1"),
]


def test_each_line_to_be_broken_stands_in_its_script() -> None:
    assert [line for operation, line, _ in BROKEN if line not in script(operation)] == []


@pytest.mark.skipif(not LONG, reason="HYPOTHESIS_PROFILE=long breaks the scripts line by line")
@pytest.mark.parametrize(("operation", "line", "other"), BROKEN)
def test_the_machine_finds_a_broken_line(
    memory: Client, operation: str, line: str, other: str
) -> None:
    steps = edited(operation, line, other)
    red(memory, Plant(f"{operation}: {line}", operation, f"{line} -> {other}", steps))
