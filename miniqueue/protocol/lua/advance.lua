-- advance: tell the children of ended tasks: one whose parents have all succeeded is queued with their
-- results, one whose parent has failed or was cancelled fails with the reason.
-- KEYS     1 ended  2 deferred  3 failed  4 events  5 wake  6 stats
--          7 ready:high  8 ready:normal  9 ready:low
-- ARGV     1 key prefix  2 most children  3 keep ms of a failed task  4 events kept
-- Returns  number of children told; if it is ARGV[2], there may be more
-- Cost     5 to 9 commands a child, 3 a parent
local prefix, most = ARGV[1], tonumber(ARGV[2])
local lists = {high = KEYS[7], normal = KEYS[8], low = KEYS[9]}
local time = redis.call('TIME')
local now, told = time[1] * 1000 + math.floor(time[2] / 1000), 0
local function break_off(child, key, parent, state, waiting, grown)
  local why = string.format('task %s, which it waits for, %s', parent, state == 'cancelled' and 'was cancelled' or 'failed')
  redis.call('HSET', key, 'state', 'failed', 'finished_ms', now, 'error', cjson.encode({type = 'ParentFailed', message = why}))
  redis.call('PEXPIRE', key, ARGV[3])
  redis.call('ZADD', KEYS[3], now + ARGV[3], child)
  for _ = 1, math.min(tonumber(waiting) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. child, 'failed') end
  if waiting then redis.call('PEXPIRE', prefix .. 'done:' .. child, 10000) end
  if grown then redis.call('RPUSH', KEYS[1], child) end
end
local function tell(child, parent, state, result)
  local key, verdict = prefix .. 'task:' .. child, state == 'succeeded' and 'queued' or 'failed'
  local t = redis.pcall('HMGET', key, 'state', 'priority', 'waiting', 'children')
  if t[1] ~= 'deferred' then return end
  if verdict == 'queued' then
    redis.call('HSET', key, 'input:' .. parent, result)
    if redis.call('HINCRBY', key, 'pending', -1) > 0 then return end
    redis.call('HSET', key, 'state', 'queued', 'due_ms', now)
    redis.call('RPUSH', lists[t[2]] or lists.normal, child)
    redis.call('RPUSH', KEYS[5], 1)
  else
    break_off(child, key, parent, state, t[3], t[4])
  end
  redis.call('ZREM', KEYS[2], child)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[4], '*', 'verb', 'advance', 'tasks', child .. '/0', 'state', verdict, 'reason', 'after ' .. parent)
end
local parent = redis.call('LINDEX', KEYS[1], 0)
while parent and told < most do
  local p = redis.pcall('HMGET', prefix .. 'task:' .. parent, 'state', 'result')
  -- One that runs again (retry) tells them when it ends anew.
  local again = p[1] == 'queued' or p[1] == 'scheduled' or p[1] == 'running'
  local children = not again and redis.call('LPOP', prefix .. 'children:' .. parent, most - told) or {}
  for _, child in ipairs(children) do tell(child, parent, p[1] or 'failed', p[2] or 'null') end
  told = told + #children
  if told < most then
    redis.call('LPOP', KEYS[1])
    parent = redis.call('LINDEX', KEYS[1], 0)
  end
end
if told > 0 then
  redis.call('LTRIM', KEYS[5], 0, 63)
  redis.call('HINCRBY', KEYS[6], 'advance', told)
end
return told
