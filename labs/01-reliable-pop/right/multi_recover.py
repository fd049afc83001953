"""A context manager; recover() in one transaction: nobody else writes into a dead one's list."""

from contextlib import contextmanager


@contextmanager
def taken(redis, worker):
    task = redis.lmove("queue", f"wip:{worker}", "LEFT", "LEFT")
    yield task
    if task is not None:
        redis.lrem(f"wip:{worker}", 1, task)


def work(redis, worker, run):
    while True:
        with taken(redis, worker) as task:
            if task is None:
                return
            run(task)


def recover(redis, worker):
    held = redis.lrange(f"wip:{worker}", 0, -1)
    if held:
        with redis.pipeline(transaction=True) as pipe:
            pipe.delete(f"wip:{worker}")
            pipe.lpush("queue", *held)
            pipe.execute()
