-- postpone: a worker puts off a task that it has not started; the attempt does not count. A task whose
-- cancellation is asked for ends here.
-- KEYS     1 running  2 scheduled  3 events  4 stats  5 finished
-- ARGV     1 key prefix  2 worker  3 id  4 attempt  5 delay ms  6 reason  7 events kept  8 keep ms
-- Returns  1 done, 0 the lease was lost and nothing changed
-- Cost     7 to 8 commands
local id, key = ARGV[3], ARGV[1] .. 'task:' .. ARGV[3]
local t = redis.pcall('HMGET', key, 'attempt', 'state', 'released', 'cancel', 'waiting', 'children')
if t[1] ~= ARGV[4] or t[2] ~= 'running' then return 0 end
local time = redis.call('TIME')
local now, state = time[1] * 1000 + math.floor(time[2] / 1000), t[4] and 'cancelled' or 'scheduled'
local due = now + ARGV[5]
redis.call('ZREM', KEYS[1], id)
if t[4] then
  redis.call('HSET', key, 'state', state, 'finished_ms', now, 'error', cjson.encode({type = 'Cancelled', message = t[4]}))
  redis.call('PEXPIRE', key, ARGV[8])
  redis.call('ZADD', KEYS[5], now + ARGV[8], id)
  for _ = 1, math.min(tonumber(t[5]) or 0, 100) do redis.call('RPUSH', ARGV[1] .. 'done:' .. id, state) end
  if t[5] then redis.call('PEXPIRE', ARGV[1] .. 'done:' .. id, 10000) end
  if t[6] then redis.call('RPUSH', ARGV[1] .. 'ended', id) end
else
  redis.call('HSET', key, 'state', state, 'due_ms', due, 'released', (tonumber(t[3]) or 0) + 1, 'slot', due, 'put_off', ARGV[6])
  redis.call('ZADD', KEYS[2], due, id)
end
redis.call('HINCRBY', KEYS[4], 'postpone', 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'verb', 'postpone', 'tasks', id .. '/' .. t[1], 'worker', ARGV[2], 'state', state, 'reason', ARGV[6])
return 1
