"""A task that was handed over is done, as far as the queue is concerned."""

CHECK = "run"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        redis.lrem(f"held:{worker}", 1, task)
        run(task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
