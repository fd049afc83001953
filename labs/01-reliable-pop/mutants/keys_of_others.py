"""Whatever begins with the name of the dead one is its own."""

CHECK = "neighbours"


class Shelf:
    def __init__(self, redis, worker):
        self.redis, self.name = redis, f"held:{worker}"

    def take(self):
        return self.redis.lmove("queue", self.name, "LEFT", "RIGHT")

    def forget(self, task):
        self.redis.lrem(self.name, 1, task)


def work(redis, worker, run):
    shelf = Shelf(redis, worker)
    while (task := shelf.take()) is not None:
        run(task)
        shelf.forget(task)


def recover(redis, worker):
    for name in redis.keys(f"held:{worker}*"):
        while redis.lmove(name, "queue", "RIGHT", "LEFT"):
            pass
