"""If I had the lease a moment ago, I have it now."""

CHECK = "atomic"
NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000\n"


def script(redis, lua, *args):
    """Run Lua inside Redis, as one step; `now` is Redis' time in seconds, `ARGV` are the args."""
    return redis.eval(NOW + lua, 0, *args)


def claim(redis, worker, lease_s):
    lua = """
    local task = redis.call('LPOP', 'queue')
    if not task then return nil end
    redis.call('ZADD', 'leases', now + ARGV[1], task)
    return {task, redis.call('HINCRBY', 'attempts', task, 1)}
    """
    taken = script(redis, lua, lease_s)
    return tuple(taken) if taken else None


def renew(redis, task, attempt, lease_s):
    lua = """
    if not redis.call('ZSCORE', 'leases', ARGV[1]) then return 0 end
    if redis.call('HGET', 'attempts', ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('ZADD', 'leases', now + ARGV[3], ARGV[1])
    return 1
    """
    return script(redis, lua, task, attempt, lease_s) == 1


def finish(redis, task, attempt):
    if redis.zscore("leases", task) is None:
        return False
    if int(redis.hget("attempts", task) or 0) != attempt:
        return False
    redis.zrem("leases", task)
    redis.hdel("attempts", task)
    return True


def reclaim(redis):
    lua = """
    local late = redis.call('ZRANGEBYSCORE', 'leases', '-inf', now)
    for _, task in ipairs(late) do
      redis.call('ZREM', 'leases', task)
      redis.call('LPUSH', 'queue', task)
    end
    return late
    """
    return script(redis, lua)
