-- report: a running attempt says how far it is, or leaves log lines with its task.
-- KEYS     1 task hash  2 log list
-- ARGV     1 attempt  2 'progress' or 'log'  3 value  4 most log lines  5 ttl of the log, ms
--          6 more log lines
-- Returns  1 kept, 0 the lease was lost
-- Cost     2 to 4 commands
local t = redis.pcall('HMGET', KEYS[1], 'attempt', 'state')
if t[1] ~= ARGV[1] or t[2] ~= 'running' then return 0 end
if ARGV[2] == 'progress' then
  redis.call('HSET', KEYS[1], 'progress', ARGV[3])
else
  redis.call('RPUSH', KEYS[2], ARGV[3], unpack(ARGV, 6))
  redis.call('LTRIM', KEYS[2], -ARGV[4], -1)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return 1
