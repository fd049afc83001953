"""A transaction instead of one command, and numbered receipts instead of a list."""

from redis import WatchError


def take(redis, worker):
    with redis.pipeline() as pipe:
        while True:
            try:
                pipe.watch("queue")
                task = pipe.lindex("queue", 0)
                if task is None:
                    return None
                receipt = f"{worker}/{pipe.incr('receipts')}"
                pipe.multi()
                pipe.lpop("queue")
                pipe.hset("receipts-open", receipt, task)
                pipe.execute()
                return receipt, task
            except WatchError:
                continue


def work(redis, worker, run):
    while taken := take(redis, worker):
        receipt, task = taken
        run(task)
        redis.hdel("receipts-open", receipt)


def recover(redis, worker):
    for receipt, task in redis.hgetall("receipts-open").items():
        if receipt.rpartition("/")[0] == worker:
            with redis.pipeline(transaction=True) as pipe:
                pipe.lpush("queue", task)
                pipe.hdel("receipts-open", receipt)
                pipe.execute()
