"""A class that knows the ceiling, and a transaction that watches."""

import functools
import math

from redis import WatchError

from miniqueue import Fail


class Policy:
    def __init__(self, base, cap):
        self.base, self.cap = base, cap

    @functools.cached_property
    def steps(self):
        return max(0, math.ceil(math.log2(self.cap / self.base)))

    def ceiling(self, attempt):
        return self.cap if attempt - 1 >= self.steps else self.base * 2 ** (attempt - 1)


def delay_s(attempt, base_s, cap_s, uniform):
    return uniform(0.0, Policy(base_s, cap_s).ceiling(attempt))


def on_failure(redis, task, attempt, max_attempts, error, wait_s):
    over = attempt >= max_attempts or isinstance(error, Fail)
    while True:
        with redis.pipeline() as pipe:
            try:
                pipe.watch("running")
                seconds, micros = pipe.time()
                pipe.multi()
                if over:
                    pipe.hset("dead", task, repr(error))
                else:
                    pipe.zadd("later", {task: seconds + micros / 1_000_000 + wait_s})
                pipe.srem("running", task)
                pipe.execute()
                return
            except WatchError:
                continue
