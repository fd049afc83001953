"""Transactions that watch what they looked at; the lease and the attempt in one string."""

from redis import WatchError


def now(pipe):
    seconds, micros = pipe.time()
    return seconds + micros / 1e6


def claim(redis, worker, lease_s):
    with redis.pipeline() as pipe:
        while True:
            try:
                pipe.watch("queue")
                task = pipe.lindex("queue", 0)
                if task is None:
                    return None
                attempt = int(pipe.get(f"tries:{task}") or 0) + 1
                end = now(pipe) + lease_s
                pipe.multi()
                pipe.lpop("queue")
                pipe.set(f"tries:{task}", attempt)
                pipe.hset("held", task, f"{attempt} {end}")
                pipe.execute()
                return task, attempt
            except WatchError:
                continue


def change(redis, task, holds, write):
    """Write if `holds` of the attempt and the end of the lease, and nobody came between."""
    with redis.pipeline() as pipe:
        while True:
            try:
                pipe.watch("held")
                held = pipe.hget("held", task)
                if held is None:
                    return False
                attempt, end = held.split()
                if not holds(int(attempt), float(end), now(pipe)):
                    return False
                time = now(pipe)
                pipe.multi()
                write(pipe, int(attempt), time)
                pipe.execute()
                return True
            except WatchError:
                continue


def renew(redis, task, attempt, lease_s):
    return change(
        redis,
        task,
        lambda held, end, time: held == attempt,
        lambda pipe, held, time: pipe.hset("held", task, f"{attempt} {time + lease_s}"),
    )


def finish(redis, task, attempt):
    def forget(pipe, held, time):
        pipe.hdel("held", task)
        pipe.delete(f"tries:{task}")

    return change(redis, task, lambda held, end, time: held == attempt, forget)


def reclaim(redis):
    def give_back(task):
        def write(pipe, held, time):
            pipe.hdel("held", task)
            pipe.lpush("queue", task)

        return write

    return [
        task
        for task in redis.hkeys("held")
        if change(redis, task, lambda held, end, time: end < time, give_back(task))
    ]
