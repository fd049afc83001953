"""Scripts instead of one command, and numbered receipts instead of a list."""

TAKE = """
local task = redis.call('LPOP', 'queue')
if not task then return nil end
local receipt = ARGV[1] .. '/' .. redis.call('INCR', 'receipts')
redis.call('HSET', 'open', receipt, task)
return {receipt, task}
"""
GIVE_BACK = """
local task = redis.call('HGET', 'open', ARGV[1])
if task then
  redis.call('LPUSH', 'queue', task)
  redis.call('HDEL', 'open', ARGV[1])
end
"""


def work(redis, worker, run):
    take = redis.register_script(TAKE)
    while taken := take(args=[worker]):
        receipt, task = taken
        run(task)
        redis.hdel("open", receipt)


def recover(redis, worker):
    give_back = redis.register_script(GIVE_BACK)
    for receipt in redis.hkeys("open"):
        if receipt.rpartition("/")[0] == worker:
            give_back(args=[receipt])
