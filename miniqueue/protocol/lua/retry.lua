-- retry: a failed task gets its attempts anew and waits at the end of its list.
-- KEYS     1 failed  2 events  3 wake  4 stats  5 ready:high  6 ready:normal  7 ready:low
-- ARGV     1 key prefix  2 id  3 events kept
-- Returns  the state that it found: 'failed' and the task is queued, any other and nothing changed;
--          'orphaned' where a task that it waited for did not succeed: there is nothing to run it on
-- Cost     11 commands
local id, key = ARGV[2], ARGV[1] .. 'task:' .. ARGV[2]
local lists = {high = KEYS[5], normal = KEYS[6], low = KEYS[7]}
local t = redis.pcall('HMGET', key, 'state', 'priority', 'attempt', 'pending')
if t[1] ~= 'failed' then return t[1] end
if (tonumber(t[4]) or 0) > 0 then return 'orphaned' end
redis.call('ZREM', KEYS[1], id)
redis.call('PERSIST', key)
-- The attempt is the fence and never falls; what counts against the limit is attempt - released.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', key, 'state', 'queued', 'released', t[3] or 0, 'due_ms', now)
redis.call('HDEL', key, 'finished_ms', 'cancel', 'expires_ms')
redis.call('RPUSH', lists[t[2]] or lists.normal, id)
redis.call('RPUSH', KEYS[3], 1)
redis.call('LTRIM', KEYS[3], 0, 63)
redis.call('HINCRBY', KEYS[4], 'retry', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'verb', 'retry', 'tasks', id .. '/' .. (t[3] or 0))
return 'failed'
