-- forget: drop ids of finished and failed tasks whose time is over (their hashes expire by themselves).
-- KEYS     1 finished  2 failed
-- ARGV     1 most tasks of each
-- Returns  number of ids dropped
-- Cost     at most 5 commands
local time = redis.call('TIME')
local now, dropped = time[1] * 1000 + math.floor(time[2] / 1000), 0
for i = 1, 2 do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, ARGV[1])
  if #ids > 0 then dropped = dropped + redis.call('ZREM', KEYS[i], unpack(ids)) end
end
return dropped
