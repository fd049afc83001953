"""WATCH and MULTI, and a ledger for each worker."""

import json

from redis import WatchError


def work(redis, worker, run):
    while True:
        with redis.pipeline() as pipe:
            try:
                pipe.watch("queue")
                task = pipe.lindex("queue", 0)
                if task is None:
                    return
                number = int(redis.incr("tickets"))
                pipe.multi()
                pipe.lpop("queue")
                pipe.hset("ledger:" + worker, str(number), json.dumps({"task": task}))
                pipe.execute()
            except WatchError:
                continue
        run(task)
        redis.hdel("ledger:" + worker, str(number))


def recover(redis, worker):
    for number in redis.hkeys("ledger:" + worker):
        redis.eval(
            """
            local e = redis.call('HGET', KEYS[1], ARGV[1])
            if e then
              redis.call('LPUSH', 'queue', cjson.decode(e)['task'])
              redis.call('HDEL', KEYS[1], ARGV[1])
            end
            """,
            1,
            "ledger:" + worker,
            number,
        )
