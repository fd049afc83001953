-- promote: move scheduled tasks that are due to the ends of their ready lists.
-- KEYS     1 scheduled  2 events  3 wake  4 stats  5 ready:high  6 ready:normal  7 ready:low
-- ARGV     1 key prefix  2 most tasks  3 events kept
-- Returns  number of tasks moved; if it is ARGV[2], there may be more
-- Cost     5 commands a task, 5 a call
local prefix, told = ARGV[1], {}
local lists = {high = KEYS[5], normal = KEYS[6], low = KEYS[7]}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  local key = prefix .. 'task:' .. id
  local t = redis.pcall('HMGET', key, 'state', 'priority', 'attempt')
  redis.call('ZREM', KEYS[1], id)
  if t[1] then
    redis.call('HSET', key, 'state', 'queued')
    redis.call('RPUSH', lists[t[2]] or lists.normal, id)
    redis.call('RPUSH', KEYS[3], 1)
    told[#told + 1] = id .. '/' .. (t[3] or 0)
  end
end
if #told > 0 then
  redis.call('LTRIM', KEYS[3], 0, 63)
  redis.call('HINCRBY', KEYS[4], 'promote', #told)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'verb', 'promote', 'tasks', table.concat(told, ' '))
end
return #ids
