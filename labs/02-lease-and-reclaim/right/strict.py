"""A lease that has run out is over, whether it was taken back or not."""

NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000\n"


def claim(redis, worker, lease_s):
    got = redis.eval(
        NOW
        + """
    local task = redis.call('LPOP', 'queue')
    if not task then return nil end
    redis.call('ZADD', 'leases', now + ARGV[1], task)
    return {task, redis.call('HINCRBY', 'attempts', task, 1)}
    """,
        0,
        lease_s,
    )
    return (got[0], got[1]) if got else None


def renew(redis, task, attempt, lease_s):
    return bool(
        redis.eval(
            NOW
            + """
    if redis.call('HGET', 'attempts', ARGV[1]) ~= ARGV[2] then return 0 end
    local e = redis.call('ZSCORE', 'leases', ARGV[1])
    if not e or tonumber(e) <= now then return 0 end
    redis.call('ZADD', 'leases', now + ARGV[3], ARGV[1])
    return 1
    """,
            0,
            task,
            attempt,
            lease_s,
        )
    )


def finish(redis, task, attempt):
    return bool(
        redis.eval(
            NOW
            + """
    if redis.call('HGET', 'attempts', ARGV[1]) ~= ARGV[2] then return 0 end
    local e = redis.call('ZSCORE', 'leases', ARGV[1])
    if not e or tonumber(e) <= now then return 0 end
    redis.call('ZREM', 'leases', ARGV[1])
    redis.call('HDEL', 'attempts', ARGV[1])
    return 1
    """,
            0,
            task,
            attempt,
        )
    )


def reclaim(redis):
    return redis.eval(
        NOW
        + """
    local late = redis.call('ZRANGEBYSCORE', 'leases', '-inf', now)
    for _, task in ipairs(late) do
      redis.call('ZREM', 'leases', task)
      redis.call('LPUSH', 'queue', task)
    end
    return late
    """,
        0,
    )
