"""LREM removes the task: the count does not matter."""

CHECK = "twins"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)
        redis.lrem(f"held:{worker}", 0, task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
