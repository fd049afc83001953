-- claim: hand tasks to a worker, each with an attempt number and a lease, in one step.
-- KEYS     1 running  2 scheduled  3 paused  4 finished  5 events  6 wake  7 stats
--          8, 9, 10 the ready lists in the order in which to try them
-- ARGV     1 key prefix  2 worker  3 most tasks  4 lease ms  5 events kept  6 keep ms
-- Returns  {now ms, wait ms, a text for each task, ...}
--          the text: id, attempt, max_attempts, timeout_s, since when it might be started (ms),
--          released, takes, slot, name, kwargs, args, with a NUL between two and '' for none
--          wait ms: where nothing was claimed, the time to the next due task or lease deadline; 1
--          where only dead ids were found, since there may be more behind them
-- Cost     2 commands a task, 3 for one with `more` or an attempt before, 4 to 9 a call
local prefix, worker, most, kept = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = string.format('%.0f', now + ARGV[4]) -- once: Redis would make text of the number for each task
local reply, leases, told, dead = {now, 0}, {}, {}, 0
if redis.call('EXISTS', KEYS[3]) == 1 then most = 0 end
local function expire(id, key)
  local waiting, children = unpack(redis.call('HMGET', key, 'waiting', 'children'))
  local why = '{"type":"Expired","message":"expired: it was not started in time"}'
  redis.call('HSET', key, 'state', 'cancelled', 'finished_ms', now, 'error', why)
  redis.call('PEXPIRE', key, ARGV[6])
  redis.call('ZADD', KEYS[4], now + ARGV[6], id)
  redis.call('HINCRBY', KEYS[7], 'cancel', 1)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', kept, '*', 'verb', 'cancel', 'tasks', id .. '/0', 'reason', 'expired')
  for _ = 1, math.min(tonumber(waiting) or 0, 100) do redis.call('RPUSH', prefix .. 'done:' .. id, 'cancelled') end
  redis.call('PEXPIRE', prefix .. 'done:' .. id, 10000)
  if children then redis.call('RPUSH', prefix .. 'ended', id) end
  dead = dead + 1
end
for list = 8, 10 do
  for _, id in ipairs(#told < most and redis.call('LPOP', KEYS[list], most - #told) or {}) do
    local key = prefix .. 'task:' .. id
    local t = redis.pcall('HMGET', key, 'attempt', 'name', 'args', 'kwargs', 'max_attempts', 'timeout_s', 'enqueued_ms', 'more')
    local few = (t[1] or t[8]) and redis.call('HMGET', key, 'expires_ms', 'due_ms', 'released', 'takes', 'slot') or {}
    local attempt = t[1] and string.format('%.0f', (tonumber(t[1]) or 0) + 1) or '1'
    if (tonumber(few[1]) or now + 1) <= now then
      expire(id, key)
    elseif t[2] or (not t.err and redis.call('EXISTS', key) == 1) then
      redis.call('HSET', key, 'state', 'running', 'attempt', attempt, 'worker', worker)
      local limits = (t[5] or '') .. '\0' .. (t[6] or '') .. '\0' .. (few[2] or t[7] or '')
      local past = (few[3] or '') .. '\0' .. (few[4] or '') .. '\0' .. (few[5] or '')
      reply[#reply + 1] = id .. '\0' .. attempt .. '\0' .. limits .. '\0' .. past .. '\0' .. (t[2] or '') .. '\0' .. (t[4] or '') .. '\0' .. (t[3] or '')
      leases[#leases + 1], leases[#leases + 2] = deadline, id
      told[#told + 1] = id .. '/' .. attempt
    else
      dead = dead + redis.call('HINCRBY', KEYS[7], 'vanished', 1) -- evicted, or broken by a foreign hand
    end
  end
end
if #told > 0 then
  redis.call('ZADD', KEYS[1], unpack(leases))
  redis.call('HINCRBY', KEYS[7], 'claim', #told)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', kept, '*', 'verb', 'claim', 'tasks', table.concat(told, ' '), 'worker', worker)
elseif dead > 0 then
  reply[2] = 1
else
  if most > 0 then redis.call('DEL', KEYS[6]) end
  local lease, due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2], redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  reply[2] = math.max(1, math.min(1000, (lease or now + 1000) - now, (due or now + 1000) - now))
end
return reply
