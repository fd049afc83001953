"""Any end of the list will do."""

CHECK = "all-run"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "RIGHT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
