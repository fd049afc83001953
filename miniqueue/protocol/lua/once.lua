-- once: the first attempt of a task that asks for a key gets it, no other ever does.
-- KEYS     1 task hash
-- ARGV     1 attempt  2 key  3 most keys of a task
-- Returns  1 it is yours, 0 an attempt before had it, -1 the lease was lost, -2 too many keys
-- Cost     4 commands
local t = redis.pcall('HMGET', KEYS[1], 'attempt', 'state', 'once')
if t[1] ~= ARGV[1] or t[2] ~= 'running' then return -1 end
if redis.call('HEXISTS', KEYS[1], 'once:' .. ARGV[2]) == 1 then return 0 end
if (tonumber(t[3]) or 0) >= tonumber(ARGV[3]) then return -2 end
redis.call('HINCRBY', KEYS[1], 'once', 1)
return redis.call('HSETNX', KEYS[1], 'once:' .. ARGV[2], ARGV[1])
