-- reserve: take the next start that a function's rate allows (GCRA with a burst of one).
-- KEYS     1 rate
-- ARGV     1 ms between two starts
-- Returns  ms to wait until that start, 0 for now
-- Cost     3 commands
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local start = math.max(now, tonumber(redis.call('GET', KEYS[1])) or 0)
redis.call('SET', KEYS[1], string.format('%.3f', start + ARGV[1]), 'PX', math.ceil(start - now + ARGV[1] + 1000))
return math.ceil(start - now)
