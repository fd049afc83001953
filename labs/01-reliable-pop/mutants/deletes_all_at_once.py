"""After the first one is back, the list is no longer needed."""

CHECK = "mend"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    for task in reversed(redis.lrange(f"held:{worker}", 0, -1)):
        redis.lpush("queue", task)
        redis.delete(f"held:{worker}")
