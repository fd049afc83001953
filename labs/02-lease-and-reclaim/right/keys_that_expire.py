"""A key with a time to live is the lease."""

SCRIPTS = {
    "claim": """
    local task = redis.call('LPOP', 'queue')
    if not task then return false end
    local attempt = redis.call('INCR', 'n:' .. task)
    redis.call('SADD', 'running', task)
    redis.call('SET', 'lease:' .. task, attempt, 'PX', ARGV[1])
    return {task, attempt}
    """,
    "renew": """
    if redis.call('GET', 'lease:' .. ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('PEXPIRE', 'lease:' .. ARGV[1], ARGV[3])
    return 1
    """,
    "finish": """
    if redis.call('GET', 'lease:' .. ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('DEL', 'lease:' .. ARGV[1], 'n:' .. ARGV[1])
    redis.call('SREM', 'running', ARGV[1])
    return 1
    """,
    "reclaim": """
    local back = {}
    for _, task in ipairs(redis.call('SMEMBERS', 'running')) do
      if redis.call('EXISTS', 'lease:' .. task) == 0 then
        redis.call('SREM', 'running', task)
        redis.call('LPUSH', 'queue', task)
        back[#back + 1] = task
      end
    end
    return back
    """,
}


def ask(redis, name, *args):
    return redis.eval(SCRIPTS[name], 0, *args)


def claim(redis, worker, lease_s):
    got = ask(redis, "claim", int(lease_s * 1000))
    return (got[0], int(got[1])) if got else None


def renew(redis, task, attempt, lease_s):
    return ask(redis, "renew", task, attempt, int(lease_s * 1000)) == 1


def finish(redis, task, attempt):
    return ask(redis, "finish", task, attempt) == 1


def reclaim(redis):
    return list(ask(redis, "reclaim"))
