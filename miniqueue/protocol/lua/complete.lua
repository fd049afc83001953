-- complete: end attempts with their results; a stale attempt changes nothing.
-- KEYS     1 running  2 finished  3 events  4 stats
-- ARGV     1 key prefix  2 worker  3 keep ms  4 events kept
--          then for each task: id, attempt, result, started ms, run ms
-- Returns  for each task: 1 kept, 2 kept and other tasks wait for it, 0 the lease was lost and the
--          result is dropped
-- Cost     3 commands a task, 5 a call
local prefix, keep = ARGV[1], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended, forgotten = string.format('%.0f', now), string.format('%.0f', now + keep)
local reply, done, scores, told = {}, {}, {}, {}
for i = 5, #ARGV, 5 do
  local id, attempt, key = ARGV[i], ARGV[i + 1], prefix .. 'task:' .. ARGV[i]
  local t = redis.pcall('HMGET', key, 'attempt', 'state', 'waiting', 'children')
  local owned = t[1] == attempt and t[2] == 'running'
  reply[#reply + 1] = owned and (t[4] and 2 or 1) or 0
  if owned then
    redis.call('HSET', key, 'state', 'succeeded', 'result', ARGV[i + 2], 'started_ms', ARGV[i + 3], 'run_ms', ARGV[i + 4], 'finished_ms', ended)
    redis.call('PEXPIRE', key, keep)
    done[#done + 1] = id
    scores[#scores + 1], scores[#scores + 2] = forgotten, id
    told[#told + 1] = id .. '/' .. attempt .. '/' .. ARGV[i + 3] .. '/' .. ARGV[i + 4]
    for _ = 1, math.min(tonumber(t[3]) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, 'succeeded') end
    if t[3] then redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000) end
    if t[4] then redis.call('RPUSH', prefix .. 'ended', id) end
  end
end
if #done > 0 then
  redis.call('ZREM', KEYS[1], unpack(done))
  redis.call('ZADD', KEYS[2], unpack(scores))
  redis.call('HINCRBY', KEYS[4], 'complete', #done)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'verb', 'complete', 'tasks', table.concat(told, ' '), 'worker', ARGV[2])
end
return reply
