-- cancel: end a task that waits; ask the worker of one that runs.
-- KEYS     1 scheduled  2 finished  3 events  4 stats  5 ready:high  6 ready:normal  7 ready:low
--          8 deferred
-- ARGV     1 key prefix  2 id  3 keep ms  4 events kept  5 reason
-- Returns  the state that it found, or nil where there is no such task
-- Cost     8 to 10 commands; LREM walks the list, 20 ms in a million
local prefix, id, keep = ARGV[1], ARGV[2], ARGV[3]
local key = prefix .. 'task:' .. id
local lists = {high = KEYS[5], normal = KEYS[6], low = KEYS[7]}
local t = redis.pcall('HMGET', key, 'state', 'priority', 'waiting', 'attempt', 'children')
local state = t[1]
if not state or state == 'succeeded' or state == 'failed' or state == 'cancelled' then return state end
if state == 'running' then
  redis.call('HSET', key, 'cancel', ARGV[5])
else
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('LREM', lists[t[2]] or lists.normal, 1, id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[8], id)
  redis.call('HSET', key, 'state', 'cancelled', 'finished_ms', now, 'error', cjson.encode({type = 'Cancelled', message = ARGV[5]}))
  redis.call('PEXPIRE', key, keep)
  redis.call('ZADD', KEYS[2], now + keep, id)
  for _ = 1, math.min(tonumber(t[3]) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, 'cancelled') end
  if t[3] then redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000) end
  if t[5] then redis.call('RPUSH', prefix .. 'ended', id) end
end
redis.call('HINCRBY', KEYS[4], 'cancel', 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'verb', 'cancel', 'tasks', id .. '/' .. (t[4] or 0), 'state', state, 'reason', ARGV[5])
return state
