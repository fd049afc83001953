"""A ceiling by steps, and a script that moves the task by Redis' clock."""

from miniqueue import Fail

MOVE = """
redis.call('SREM', 'running', ARGV[1])
if ARGV[2] == 'dead' then
  redis.call('HSET', 'dead', ARGV[1], ARGV[3])
else
  local t = redis.call('TIME')
  redis.call('ZADD', 'later', t[1] + t[2] / 1000000 + ARGV[3], ARGV[1])
end
"""


def delay_s(attempt, base_s, cap_s, uniform):
    ceiling = base_s
    for _ in range(attempt - 1):
        ceiling *= 2
        if ceiling >= cap_s:
            break
    return min(ceiling, cap_s) * uniform(0, 1)


def on_failure(redis, task, attempt, max_attempts, error, wait_s):
    if isinstance(error, Fail):
        words = ["dead", f"given up at once: {error!r}"]
    elif attempt < max_attempts:
        words = ["later", wait_s]
    else:
        words = ["dead", f"{attempt} attempts, the last one: {error!r}"]
    redis.eval(MOVE, 0, task, *words)
