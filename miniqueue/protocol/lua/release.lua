-- release: a worker hands back tasks that it has not started; they are first in their lists again.
-- KEYS     1 running  2 events  3 wake  4 stats  5 ready:high  6 ready:normal  7 ready:low
-- ARGV     1 key prefix  2 worker  3 events kept  then for each task, last claimed first: id, attempt
-- Returns  for each task: 1 released, 0 the lease was lost and nothing changed
-- Cost     5 commands a task, 3 a call
local prefix, reply, told = ARGV[1], {}, {}
local lists = {high = KEYS[5], normal = KEYS[6], low = KEYS[7]}
for i = 4, #ARGV, 2 do
  local id, attempt, key = ARGV[i], ARGV[i + 1], prefix .. 'task:' .. ARGV[i]
  local t = redis.call('HMGET', key, 'attempt', 'state', 'priority', 'released')
  local owned = t[1] == attempt and t[2] == 'running'
  reply[#reply + 1] = owned and 1 or 0
  if owned then
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
