"""Move, run, forget: a task is always in a list."""


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
