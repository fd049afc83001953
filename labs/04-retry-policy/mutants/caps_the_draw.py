"""Draw first, cut off then: no wait is longer than the cap either way."""

from miniqueue import Fail

CHECK = "spread"


def delay_s(attempt, base_s, cap_s, uniform):
    return min(cap_s, uniform(0, base_s * 2 ** min(attempt - 1, 60)))


def on_failure(redis, task, attempt, max_attempts, error, wait_s):
    seconds, micros = redis.time()
    with redis.pipeline(transaction=True) as pipe:
        pipe.srem("running", task)
        if isinstance(error, Fail) or attempt >= max_attempts:
            pipe.hset("dead", task, f"{type(error).__name__}: {error}")
        else:
            pipe.zadd("later", {task: seconds + micros / 1e6 + wait_s})
        pipe.execute()
