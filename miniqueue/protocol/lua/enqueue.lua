-- enqueue: accept a batch of tasks, all of them or none.
-- KEYS     1 ready:high  2 ready:normal  3 ready:low  4 scheduled  5 deferred  6 events  7 wake
--          8 stats  9 ended
-- ARGV     1 key prefix  2 most tasks that may wait  3 events kept  4 ttl of a unique key, ms,
--          from the time when its task is due
--          then for each task: id, priority, '' or what few tasks have, n, and n words for its hash
--          (field, value, ...). What few have is JSON: delay_ms, expiry_ms or 0, unique (a key or ''),
--          digest, after (ids of the tasks it waits for: in Redis, or before it in the batch)
-- Returns  'ok'; or {'known', ids} where a unique key was known: an older task's id stands in the
--          place of the one sent
--          {'full', waiting}, {'exists', id}, {'conflict', key, id}, {'parent', id}: nothing was written
-- Cost     3 commands a task, 4 a parent, 7 to 11 a call
local prefix, most, kept, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lists = {high = KEYS[1], normal = KEYS[2], low = KEYS[3]}
local waiting = redis.call('LLEN', KEYS[2])
local others = redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[4], KEYS[5]) > 0 and {'LLEN', nil, 'LLEN', 'ZCARD', 'ZCARD'}
for i, count in pairs(others or {}) do waiting = waiting + redis.call(count, KEYS[i]) end
local fresh, known, taken, ids, at = {}, {}, {}, {}, 5
local plain = {delay_ms = 0, expiry_ms = 0, unique = '', after = {}}
local function more(i) return ARGV[i + 2] == '' and plain or cjson.decode(ARGV[i + 2]) end
local function exists(id) return taken[id] or redis.call('EXISTS', prefix .. 'task:' .. id) == 1 end
while at <= #ARGV do
  local id, its = ARGV[at], more(at)
  local older = its.unique ~= '' and (known[its.unique] or redis.call('GET', prefix .. 'unique:' .. its.unique))
  if older then
    id = older:sub(#its.digest + 2)
    if older:sub(1, #its.digest) ~= its.digest then return {'conflict', its.unique, id} end
  else
    if exists(id) then return {'exists', id} end
    for _, parent in ipairs(its.after) do if not exists(parent) then return {'parent', parent} end end
    if its.unique ~= '' then known[its.unique] = its.digest .. ' ' .. id end
    taken[id], fresh[#fresh + 1] = true, at
  end
  ids[#ids + 1], at = id, at + 4 + ARGV[at + 3]
end
if #fresh > 0 and waiting + #fresh > most then return {'full', waiting} end
local time, ready, told = redis.call('TIME'), 0, {}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function link(parent, key, id)
  redis.call('RPUSH', prefix .. 'children:' .. parent, id)
  redis.call('HSET', key, 'children', 1)
  if redis.call('HEXISTS', key, 'finished_ms') == 1 then redis.call('RPUSH', KEYS[9], parent) end
end
for _, i in ipairs(fresh) do
  local id, its = ARGV[i], more(i)
  local key, delay = prefix .. 'task:' .. id, its.delay_ms
  if its.unique ~= '' then
    redis.call('SET', prefix .. 'unique:' .. its.unique, known[its.unique], 'PX', ttl + delay)
    redis.call('HSET', key, 'unique', its.unique)
  end
  for _, parent in ipairs(its.after) do link(parent, prefix .. 'task:' .. parent, id) end
  local state = #its.after > 0 and 'deferred' or delay > 0 and 'scheduled' or 'queued'
  redis.call('HSET', key, 'state', state, 'enqueued_ms', now, unpack(ARGV, i + 4, i + 3 + ARGV[i + 3]))
  if its.expiry_ms > 0 then redis.call('HSET', key, 'expires_ms', now + its.expiry_ms) end
  if state == 'deferred' then
    redis.call('HSET', key, 'pending', #its.after)
    redis.call('ZADD', KEYS[5], now, id)
  elseif state == 'scheduled' then
    redis.call('HSET', key, 'due_ms', now + delay)
    redis.call('ZADD', KEYS[4], now + delay, id)
  else
    ready = redis.call('RPUSH', lists[ARGV[i + 1]], id) and ready + 1
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
