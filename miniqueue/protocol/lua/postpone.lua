-- postpone: a worker puts off a task that it has not started; the attempt does not count.
-- KEYS     1 running  2 scheduled  3 events  4 stats
-- ARGV     1 key prefix  2 worker  3 id  4 attempt  5 delay ms  6 reason  7 events kept
-- Returns  1 done, 0 the lease was lost and nothing changed
-- Cost     7 commands
local id, key = ARGV[3], ARGV[1] .. 'task:' .. ARGV[3]
local t = redis.pcall('HMGET', key, 'attempt', 'state', 'released')
if t[1] ~= ARGV[4] or t[2] ~= 'running' then return 0 end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]
redis.call('ZREM', KEYS[1], id)
redis.call('HSET', key, 'state', 'scheduled', 'due_ms', due, 'released', (tonumber(t[3]) or 0) + 1, 'slot', due, 'put_off', ARGV[6])
redis.call('ZADD', KEYS[2], due, id)
redis.call('HINCRBY', KEYS[4], 'postpone', 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'verb', 'postpone', 'tasks', id .. '/' .. t[1], 'worker', ARGV[2], 'reason', ARGV[6])
return 1
