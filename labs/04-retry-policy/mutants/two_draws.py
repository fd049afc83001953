"""Two draws are twice as random as one."""

from miniqueue import Fail

CHECK = "spread"


def delay_s(attempt, base_s, cap_s, uniform):
    ceiling = min(cap_s, base_s * 2 ** min(attempt - 1, 60))
    return uniform(0, ceiling / 2) + uniform(0, ceiling / 2)


def on_failure(redis, task, attempt, max_attempts, error, wait_s):
    seconds, micros = redis.time()
    with redis.pipeline(transaction=True) as pipe:
        pipe.srem("running", task)
        if isinstance(error, Fail) or attempt >= max_attempts:
            pipe.hset("dead", task, f"{type(error).__name__}: {error}")
        else:
            pipe.zadd("later", {task: seconds + micros / 1e6 + wait_s})
        pipe.execute()
