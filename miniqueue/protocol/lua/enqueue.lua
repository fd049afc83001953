-- enqueue: accept a batch of tasks, all of them or none.
-- KEYS     1 ready:high  2 ready:normal  3 ready:low  4 scheduled  5 deferred  6 events  7 wake
--          8 stats
-- ARGV     1 key prefix  2 most tasks that may wait  3 events kept  4 ttl of a unique key, ms,
--          from the time when its task is due
--          then for each task: id, priority, '' or what few tasks have, n, and n words for its hash
--          (field, value, ...). What few have is JSON: delay_ms, expiry_ms or 0, unique (a key or ''),
--          digest, after (ids of the tasks it waits for: in Redis, or before it in the batch)
-- Returns  'ok'; or {'known', ids} where a unique key was known: an older task's id stands in the
--          place of the one sent
--          {'full', waiting}, {'exists', id}, {'conflict', key, id}, {'parent', id}: nothing was written
-- Cost     1 command a task, 4 a parent, 8 to 15 a call, and more for what few tasks have
local prefix, most, kept, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lists = {high = KEYS[1], normal = KEYS[2], low = KEYS[3]}
local waiting = redis.call('LLEN', KEYS[2])
local fresh, keys, few, known, taken, ids, at = {}, {}, {}, {}, {}, {}, 5
local function exists(id) return taken[id] or redis.call('EXISTS', prefix .. 'task:' .. id) == 1 end
while at <= #ARGV do
  local id, its, older = ARGV[at], ARGV[at + 2] ~= '' and cjson.decode(ARGV[at + 2]), false
  if its and its.unique ~= '' then older = known[its.unique] or redis.call('GET', prefix .. 'unique:' .. its.unique) end
  if older then
    id = older:sub(#its.digest + 2)
    if older:sub(1, #its.digest) ~= its.digest then return {'conflict', its.unique, id} end
  else
    local k = #fresh + 1
    if taken[id] then return {'exists', id} end
    if its then for _, parent in ipairs(its.after) do if not exists(parent) then return {'parent', parent} end end end
    if its and its.unique ~= '' then known[its.unique] = its.digest .. ' ' .. id end
    taken[id], fresh[k], keys[k], few[k] = true, at, prefix .. 'task:' .. id, its
  end
  ids[#ids + 1], at = id, at + 4 + ARGV[at + 3]
end
if #fresh == 0 then return {'known', ids} end
if redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[4], KEYS[5], unpack(keys)) > 0 then -- one call: often there is none of them
  for k = 1, redis.call('EXISTS', unpack(keys)) > 0 and #keys or 0 do
    if redis.call('EXISTS', keys[k]) == 1 then return {'exists', ARGV[fresh[k]]} end
  end
  for i, count in pairs({'LLEN', nil, 'LLEN', 'ZCARD', 'ZCARD'}) do waiting = waiting + redis.call(count, KEYS[i]) end
end
if waiting + #fresh > most then return {'full', waiting} end
local time, queued, told, ready = redis.call('TIME'), {}, {}, 0
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function add_few(id, key, its) -- what few tasks have; gives the state of such a task
  local due, unique = now + its.delay_ms, its.unique
  if unique ~= '' then redis.call('SET', prefix .. 'unique:' .. unique, known[unique], 'PX', ttl + its.delay_ms) end
  if its.expiry_ms > 0 then redis.call('HSET', key, 'expires_ms', now + its.expiry_ms) end
  for _, parent in ipairs(its.after) do
    redis.call('RPUSH', prefix .. 'children:' .. parent, id)
    redis.call('HSET', prefix .. 'task:' .. parent, 'children', 1)
    local ended = redis.call('HEXISTS', prefix .. 'task:' .. parent, 'finished_ms') == 1
    if ended then redis.call('RPUSH', prefix .. 'ended', parent) end
  end
  if #its.after > 0 then return redis.call('ZADD', KEYS[5], now, id) and 'deferred' end
  if its.delay_ms == 0 then return 'queued' end
  redis.call('HSET', key, 'due_ms', due)
  return redis.call('ZADD', KEYS[4], due, id) and 'scheduled'
end
for k, i in ipairs(fresh) do
  local id, key, list = ARGV[i], keys[k], queued[ARGV[i + 1]] or {}
  local state = few[k] and add_few(id, key, few[k]) or 'queued'
  redis.call('HSET', key, 'state', state, 'enqueued_ms', now, unpack(ARGV, i + 4, i + 3 + ARGV[i + 3]))
  if state == 'queued' then queued[ARGV[i + 1]], list[#list + 1], ready = list, id, ready + 1 end
  told[k] = id .. '/0'
end
for priority, list in pairs(queued) do redis.call('RPUSH', lists[priority], unpack(list)) end
for i = 1, #told, 100 do
  local tasks = table.concat(told, ' ', i, math.min(i + 99, #told))
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', kept, '*', 'verb', 'enqueue', 'tasks', tasks)
end
redis.call('HINCRBY', KEYS[8], 'enqueue', #fresh)
for _ = 1, math.min(ready, 64 - redis.call('LLEN', KEYS[7])) do redis.call('RPUSH', KEYS[7], 1) end
return #fresh < #ids and {'known', ids} or 'ok'
