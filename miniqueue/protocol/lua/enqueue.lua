-- enqueue: accept a batch of tasks, all of them or none.
-- KEYS     1 ready:high  2 ready:normal  3 ready:low  4 scheduled  5 events  6 wake  7 stats
-- ARGV     1 key prefix  2 most tasks that may wait  3 events kept  4 ttl of a unique key, ms
--          then for each task: id, priority, delay ms, expiry ms or 0, unique key or '', digest,
--          n, and n words for its hash (field, value, ...)
-- Returns  {'ok', now ms, ids}: ids is empty unless a unique key was known; then an older task's id
--          stands in the place of the one sent
--          {'full', waiting}, {'exists', id}, {'conflict', key, id}: nothing was written
-- Cost     3 commands a task, 9 a call
local prefix, most, kept, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local lists = {high = KEYS[1], normal = KEYS[2], low = KEYS[3]}
local waiting = redis.call('ZCARD', KEYS[4])
for i = 1, 3 do waiting = waiting + redis.call('LLEN', KEYS[i]) end
local fresh, known, taken, ids, at = {}, {}, {}, {}, 5
while at <= #ARGV do
  local id, unique, digest = ARGV[at], ARGV[at + 4], ARGV[at + 5]
  local older = unique ~= '' and (known[unique] or redis.call('GET', prefix .. 'unique:' .. unique))
  if older then
    id = older:sub(#digest + 2)
    if older:sub(1, #digest) ~= digest then return {'conflict', unique, id} end
  else
    if taken[id] or redis.call('EXISTS', prefix .. 'task:' .. id) == 1 then return {'exists', id} end
    taken[id] = true
    if unique ~= '' then known[unique] = digest .. ' ' .. id end
    fresh[#fresh + 1] = at
  end
  ids[#ids + 1], at = id, at + 7 + ARGV[at + 6]
end
if #fresh > 0 and waiting + #fresh > most then return {'full', waiting} end
local time = redis.call('TIME')
local now, ready, told = time[1] * 1000 + math.floor(time[2] / 1000), 0, {}
for _, i in ipairs(fresh) do
  local id, delay, expiry, words = ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), ARGV[i + 6]
  local key, state = prefix .. 'task:' .. id, delay > 0 and 'scheduled' or 'queued'
  redis.call('HSET', key, 'state', state, 'enqueued_ms', now, unpack(ARGV, i + 7, i + 6 + words))
  if expiry > 0 then redis.call('HSET', key, 'expires_ms', now + expiry) end
  if delay > 0 then
    redis.call('HSET', key, 'due_ms', now + delay)
    redis.call('ZADD', KEYS[4], now + delay, id)
  else
    redis.call('RPUSH', lists[ARGV[i + 1]], id)
    ready = ready + 1
  end
  told[#told + 1] = id .. '/0'
end
for unique, value in pairs(known) do redis.call('SET', prefix .. 'unique:' .. unique, value, 'PX', ttl) end
for i = 1, #told, 100 do
  local tasks = table.concat(told, ' ', i, math.min(i + 99, #told))
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', kept, '*', 'verb', 'enqueue', 'tasks', tasks)
end
redis.call('HINCRBY', KEYS[7], 'enqueue', #fresh)
for _ = 1, math.min(ready, 64 - redis.call('LLEN', KEYS[6])) do redis.call('RPUSH', KEYS[6], 1) end
return {'ok', now, #fresh < #ids and ids or {}}
