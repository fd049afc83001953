-- fail: end one attempt without a result: try again later, or end the task for good. A task whose
-- cancellation is asked for is not tried again.
-- KEYS     1 running  2 scheduled  3 failed  4 finished  5 events  6 stats
-- ARGV     1 key prefix  2 worker  3 id  4 attempt  5 next state: scheduled, failed or cancelled
--          6 error (JSON)  7 delay ms  8 started ms  9 run ms  10 reason  11 events kept
--          12 keep ms of a failed task  13 keep ms of a cancelled one
-- Returns  1 done, 2 done and other tasks wait for it, 0 the lease was lost and nothing changed
-- Cost     8 to 13 commands
local prefix, id, attempt, state, delay = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[7]
local key = prefix .. 'task:' .. id
local t = redis.pcall('HMGET', key, 'attempt', 'state', 'waiting', 'cancel', 'children')
if t[1] ~= attempt or t[2] ~= 'running' then return 0 end
if t[4] and state == 'scheduled' then state = 'cancelled' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[1], id)
redis.call('HDEL', key, 'slot', 'put_off')
redis.call('HSET', key, 'state', state, 'error', ARGV[6], 'started_ms', ARGV[8], 'run_ms', ARGV[9])
if state == 'scheduled' then
  redis.call('HSET', key, 'due_ms', now + delay)
  redis.call('ZADD', KEYS[2], now + delay, id)
else
  local set, keep = unpack(state == 'failed' and {KEYS[3], ARGV[12]} or {KEYS[4], ARGV[13]})
  redis.call('HSET', key, 'finished_ms', now)
  redis.call('PEXPIRE', key, keep)
  redis.call('ZADD', set, now + keep, id)
  for _ = 1, math.min(tonumber(t[3]) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, state) end
  if t[3] then redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000) end
  if t[5] then redis.call('RPUSH', prefix .. 'ended', id) end
end
redis.call('HINCRBY', KEYS[6], 'fail', 1)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[11], '*', 'verb', 'fail', 'tasks',
  table.concat({id, attempt, ARGV[8], ARGV[9]}, '/'), 'worker', ARGV[2], 'state', state, 'reason', ARGV[10])
return t[5] and state ~= 'scheduled' and 2 or 1
