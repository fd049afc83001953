"""A match statement and two scripts; the ceiling grows by adding."""

from miniqueue import Fail

LATER = """
local t = redis.call('TIME')
local due = string.format('%.6f', t[1] + t[2] / 1000000 + ARGV[2])
redis.call('ZADD', 'later', due, ARGV[1])
redis.call('SREM', 'running', ARGV[1])
"""
DEAD = """
redis.call('HSET', 'dead', ARGV[1], ARGV[2])
redis.call('SREM', 'running', ARGV[1])
"""


def delay_s(attempt, base_s, cap_s, uniform):
    longest = base_s
    while attempt > 1 and longest < cap_s:
        longest, attempt = longest + longest, attempt - 1
    return uniform(0, 1) * (longest if longest < cap_s else cap_s)


def on_failure(redis, task, attempt, max_attempts, error, wait_s):
    match error:
        case Fail():
            last = True
        case _:
            last = not attempt < max_attempts
    move = redis.register_script(DEAD if last else LATER)
    move(args=[task, f"{error.__class__.__qualname__} said: {error}" if last else wait_s])
