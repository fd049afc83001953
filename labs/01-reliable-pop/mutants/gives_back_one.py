"""A worker holds one task at a time, so there is one to give back."""

CHECK = "mend"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT")
