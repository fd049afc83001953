-- tick: the time of a schedule has come: enqueue its task and note the next time. Of many schedulers
-- that see the same text only the first gets through, so each tick is sent once.
-- KEYS     1 cron  2 ready list of the task's priority  3 events  4 wake  5 stats
-- ARGV     1 key prefix  2 schedule  3 its text as it was read  4 its text with the next time
--          5 task id, or '' where the tick is skipped  6 events kept  7 expiry ms or 0
--          8 words for the task's hash ...
-- Returns  1 done, 0 somebody else was faster, or the schedule was changed
-- Cost     9 to 10 commands
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
local id = ARGV[5]
if id == '' then return 1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', ARGV[1] .. 'task:' .. id, 'state', 'queued', 'enqueued_ms', now, unpack(ARGV, 8))
if tonumber(ARGV[7]) > 0 then redis.call('HSET', ARGV[1] .. 'task:' .. id, 'expires_ms', now + ARGV[7]) end
redis.call('RPUSH', KEYS[2], id)
redis.call('RPUSH', KEYS[4], 1)
redis.call('LTRIM', KEYS[4], 0, 63)
redis.call('HINCRBY', KEYS[5], 'enqueue', 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'verb', 'enqueue', 'tasks', id .. '/0', 'reason', 'schedule ' .. ARGV[2])
return 1
