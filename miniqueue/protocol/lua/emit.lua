-- emit: a running attempt adds a piece of output, which readers see at once.
-- KEYS     1 task hash  2 output stream
-- ARGV     1 attempt  2 piece  3 most pieces  4 ttl of the output, ms
-- Returns  1 kept, 0 the lease was lost
-- Cost     3 commands
local t = redis.pcall('HMGET', KEYS[1], 'attempt', 'state')
if t[1] ~= ARGV[1] or t[2] ~= 'running' then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'piece', ARGV[2], 'attempt', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
