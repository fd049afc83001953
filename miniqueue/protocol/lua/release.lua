-- release: a worker hands back tasks that it has not started; they are first in their lists again.
-- A task whose cancellation is asked for ends here.
-- KEYS     1 running  2 events  3 wake  4 stats  5 ready:high  6 ready:normal  7 ready:low
--          8 finished
-- ARGV     1 key prefix  2 worker  3 events kept  4 keep ms  then for each task, last claimed first: id, attempt
-- Returns  for each task: 1 released, 0 the lease was lost and nothing changed
-- Cost     5 to 8 commands a task, 4 a call
local prefix, reply, told = ARGV[1], {}, {}
local lists = {high = KEYS[5], normal = KEYS[6], low = KEYS[7]}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 5, #ARGV, 2 do
  local id, attempt, key = ARGV[i], ARGV[i + 1], prefix .. 'task:' .. ARGV[i]
  local t = redis.pcall('HMGET', key, 'attempt', 'state', 'priority', 'released', 'cancel', 'waiting', 'children')
  local owned = t[1] == attempt and t[2] == 'running'
  reply[#reply + 1] = owned and 1 or 0
  if owned and t[5] then
    redis.call('ZREM', KEYS[1], id)
    redis.call('HSET', key, 'state', 'cancelled', 'finished_ms', now, 'error', cjson.encode({type = 'Cancelled', message = t[5]}))
    redis.call('PEXPIRE', key, ARGV[4])
    redis.call('ZADD', KEYS[8], now + ARGV[4], id)
    for _ = 1, math.min(tonumber(t[6]) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, 'cancelled') end
    if t[6] then redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000) end
    if t[7] then redis.call('RPUSH', prefix .. 'ended', id) end
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'verb', 'release', 'tasks', id .. '/' .. attempt, 'worker', ARGV[2], 'state', 'cancelled')
  elseif owned then
    redis.call('ZREM', KEYS[1], id)
    redis.call('HSET', key, 'state', 'queued', 'released', (tonumber(t[4]) or 0) + 1)
    redis.call('LPUSH', lists[t[3]] or lists.normal, id)
    redis.call('RPUSH', KEYS[3], 1)
    told[#told + 1] = id .. '/' .. attempt
  end
end
if #told > 0 then
  redis.call('LTRIM', KEYS[3], 0, 63)
  redis.call('HINCRBY', KEYS[4], 'release', #told)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'verb', 'release', 'tasks', table.concat(told, ' '), 'worker', ARGV[2])
end
return reply
