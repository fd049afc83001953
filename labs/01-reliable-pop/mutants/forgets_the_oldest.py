"""What I have just run is the first in my list."""

CHECK = "mend"


def work(redis, worker, run):
    mine = f"mine:{worker}"
    for task in iter(lambda: redis.lmove("queue", mine, "LEFT", "RIGHT"), None):
        run(task)
        redis.lpop(mine)


def recover(redis, worker):
    while redis.lmove(f"mine:{worker}", "queue", "RIGHT", "LEFT"):
        pass
