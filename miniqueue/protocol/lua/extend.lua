-- extend: a worker says that it still works on these tasks; their leases start anew.
-- KEYS     1 running
-- ARGV     1 key prefix  2 lease ms  then for each task: id, attempt
-- Returns  for each task: 0 the lease is lost, 1 extended, 2 extended and its cancellation is asked for
-- Cost     2 commands a task; no event, since it happens every second
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local reply = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local t = redis.pcall('HMGET', ARGV[1] .. 'task:' .. id, 'attempt', 'state', 'cancel')
  if t[1] == ARGV[i + 1] and t[2] == 'running' then
    redis.call('ZADD', KEYS[1], 'XX', deadline, id)
    reply[#reply + 1] = t[3] and 2 or 1
  else
    reply[#reply + 1] = 0
  end
end
return reply
