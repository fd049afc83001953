-- reclaim: take back tasks whose lease ran out; any worker runs it, there is no lock.
-- KEYS     1 running  2 failed  3 events  4 wake  5 stats  6 ready:high  7 ready:normal  8 ready:low
--          9 finished
-- ARGV     1 key prefix  2 most tasks  3 keep ms of a failed task  4 events kept
--          5 keep ms of a cancelled one
--          A task that was acknowledged before it ran (ack) ends here, whatever attempts are left.
-- Returns  number of tasks moved; if it is ARGV[2], there may be more
-- Cost     6 to 9 commands a task, 4 a call
local prefix = ARGV[1]
local lists = {high = KEYS[6], normal = KEYS[7], low = KEYS[8]}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  local key, state = prefix .. 'task:' .. id, 'queued'
  local t = redis.pcall('HMGET', key, 'attempt', 'max_attempts', 'released', 'priority', 'worker', 'cancel', 'waiting', 'children', 'acked')
  redis.call('ZREM', KEYS[1], id)
  if t[1] then
    local tries, worker = (tonumber(t[1]) or 0) - (tonumber(t[3]) or 0), t[5] or '?'
    local started = t[9] == t[1] -- and acknowledged before that (ack)
    if tries >= (tonumber(t[2]) or 1) or t[6] or started then state = t[6] and 'cancelled' or 'failed' end
    redis.call('HSET', key, 'state', state, 'lost_worker', worker, 'lost_ms', now)
    local deaths = redis.call('HINCRBY', key, 'deaths', 1)
    if state == 'queued' then
      redis.call('LPUSH', lists[t[4]] or lists.normal, id)
      redis.call('RPUSH', KEYS[4], 1)
    else
      local words = string.format('its worker died %d time%s, the last one was %s', deaths, deaths == 1 and '' or 's', worker)
      if started then words = words .. '; it was acknowledged before it ran, so it is not run again' end
      redis.call('HSET', key, 'finished_ms', now, 'error', cjson.encode({type = state == 'failed' and 'WorkerDied' or 'Cancelled', message = words}))
      local set, keep = unpack(state == 'failed' and {KEYS[2], ARGV[3]} or {KEYS[9], ARGV[5]})
      redis.call('PEXPIRE', key, keep)
      redis.call('ZADD', set, now + keep, id)
      for _ = 1, math.min(tonumber(t[7]) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, state) end
      if t[7] then redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000) end
      if t[8] then redis.call('RPUSH', prefix .. 'ended', id) end
    end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'verb', 'reclaim', 'tasks', id .. '/' .. t[1], 'worker', worker, 'state', state)
  end
end
if #ids > 0 then
  redis.call('LTRIM', KEYS[4], 0, 63)
  redis.call('HINCRBY', KEYS[5], 'reclaim', #ids)
end
return #ids
