-- ack: a worker is about to start a task that must not start twice: from here on it is not run again if
-- its worker dies.
-- KEYS     1 task hash
-- ARGV     1 attempt
-- Returns  1 start it, 0 the lease was lost: do not
-- Cost     2 commands; no event, the claim has told of it
local t = redis.pcall('HMGET', KEYS[1], 'attempt', 'state')
if t[1] ~= ARGV[1] or t[2] ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'acked', ARGV[1])
return 1
