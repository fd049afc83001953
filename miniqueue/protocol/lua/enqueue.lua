-- enqueue: accept a batch of tasks, all of them or none.
-- KEYS     1 ready:high  2 ready:normal  3 ready:low  4 scheduled  5 deferred  6 events  7 wake
--          8 stats  9 ended
-- ARGV     1 key prefix  2 most tasks that may wait  3 events kept  4 ttl of a unique key, ms,
--          from the time when its task is due
--          then for each task: id, priority, delay ms, expiry ms or 0, unique key or '', digest,
--          ids of the tasks it waits for (in Redis, or before it in the batch; joined by commas),
--          n, and n words for its hash (field, value, ...)
-- Returns  'ok'; or {'known', ids} where a unique key was known: an older task's id stands in the
--          place of the one sent
--          {'full', waiting}, {'exists', id}, {'conflict', key, id}, {'parent', id}: nothing was written
-- Cost     3 commands a task, 4 a parent, 7 to 11 a call
local prefix, most, kept, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lists = {high = KEYS[1], normal = KEYS[2], low = KEYS[3]}
local waiting = redis.call('LLEN', KEYS[2])
local others = redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[4], KEYS[5]) > 0 and {'LLEN', nil, 'LLEN', 'ZCARD', 'ZCARD'} or {}
for i, count in pairs(others) do waiting = waiting + redis.call(count, KEYS[i]) end
local fresh, known, taken, ids, at = {}, {}, {}, {}, 5
local function exists(id) return taken[id] or redis.call('EXISTS', prefix .. 'task:' .. id) == 1 end
while at <= #ARGV do
  local id, unique, digest, words = ARGV[at], ARGV[at + 4], ARGV[at + 5], ARGV[at + 7]
  local older = unique ~= '' and (known[unique] or redis.call('GET', prefix .. 'unique:' .. unique))
  if older then
    id = older:sub(#digest + 2)
    if older:sub(1, #digest) ~= digest then return {'conflict', unique, id} end
  else
    if exists(id) then return {'exists', id} end
    for parent in ARGV[at + 6]:gmatch('[^,]+') do if not exists(parent) then return {'parent', parent} end end
    if unique ~= '' then known[unique] = digest .. ' ' .. id end
    taken[id], fresh[#fresh + 1] = true, at
  end
  ids[#ids + 1], at = id, at + 8 + words
end
if #fresh > 0 and waiting + #fresh > most then return {'full', waiting} end
local time = redis.call('TIME')
local now, ready, told = time[1] * 1000 + math.floor(time[2] / 1000), 0, {}
local function link(parent, id)
  local key = prefix .. 'task:' .. parent
  redis.call('RPUSH', prefix .. 'children:' .. parent, id)
  redis.call('HSET', key, 'children', 1)
  if redis.call('HEXISTS', key, 'finished_ms') == 1 then redis.call('RPUSH', KEYS[9], parent) end
end
for _, i in ipairs(fresh) do
  local id, delay, expiry = ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local key, unique, pending, state = prefix .. 'task:' .. id, ARGV[i + 4], 0, 'queued'
  if unique ~= '' then
    redis.call('SET', prefix .. 'unique:' .. unique, known[unique], 'PX', ttl + delay)
    redis.call('HSET', key, 'unique', unique)
  end
  for parent in ARGV[i + 6]:gmatch('[^,]+') do link(parent, id); pending = pending + 1 end
  if pending > 0 then state = 'deferred' elseif delay > 0 then state = 'scheduled' end
  redis.call('HSET', key, 'state', state, 'enqueued_ms', now, unpack(ARGV, i + 8, i + 7 + ARGV[i + 7]))
  if expiry > 0 then redis.call('HSET', key, 'expires_ms', now + expiry) end
  if state == 'deferred' then
    redis.call('HSET', key, 'pending', pending)
    redis.call('ZADD', KEYS[5], now, id)
  elseif state == 'scheduled' then
    redis.call('HSET', key, 'due_ms', now + delay)
    redis.call('ZADD', KEYS[4], now + delay, id)
  else
    redis.call('RPUSH', lists[ARGV[i + 1]], id)
    ready = ready + 1
  end
  told[#told + 1] = id .. '/0'
end
for i = 1, #told, 100 do
  local tasks = table.concat(told, ' ', i, math.min(i + 99, #told))
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', kept, '*', 'verb', 'enqueue', 'tasks', tasks)
end
redis.call('HINCRBY', KEYS[8], 'enqueue', #fresh)
for _ = 1, math.min(ready, 64 - redis.call('LLEN', KEYS[7])) do redis.call('RPUSH', KEYS[7], 1) end
return #fresh < #ids and {'known', ids} or 'ok'
