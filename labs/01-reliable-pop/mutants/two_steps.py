"""Two commands are as good as one, if they follow each other at once."""

CHECK = "pop"


def work(redis, worker, run):
    while task := redis.lpop("queue"):
        redis.rpush(f"held:{worker}", task)
        run(task)
        redis.lrem(f"held:{worker}", 1, task)


def recover(redis, worker):
    while redis.lmove(f"held:{worker}", "queue", "RIGHT", "LEFT"):
        pass
