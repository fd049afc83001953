"""Only workers crash; what puts things right does not."""

CHECK = "mend"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    held = redis.lrange(f"held:{worker}", 0, -1)
    redis.delete(f"held:{worker}")
    if held:
        redis.lpush("queue", *reversed(held))
