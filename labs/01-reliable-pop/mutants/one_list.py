"""One list of what is being worked on is enough for all workers."""

CHECK = "neighbours"


def work(redis, worker, run):
    while task := redis.lmove("queue", "held", "LEFT", "RIGHT"):
        run(task)
        redis.lrem("held", 1, task)


def recover(redis, worker):
    while redis.lmove("held", "queue", "RIGHT", "LEFT"):
        pass
