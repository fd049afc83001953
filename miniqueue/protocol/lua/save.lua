-- save: a running attempt keeps a checkpoint, from which a later attempt can go on.
-- KEYS     1 task hash
-- ARGV     1 attempt  2 checkpoint (JSON)
-- Returns  1 kept, 0 the lease was lost
-- Cost     2 commands
local t = redis.pcall('HMGET', KEYS[1], 'attempt', 'state')
if t[1] ~= ARGV[1] or t[2] ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'checkpoint', ARGV[2])
return 1
