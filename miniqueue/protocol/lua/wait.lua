-- wait: a client is about to block until a task ends; the end will leave it a token in done:ID. Where
-- there is nothing to wait for the token is there at once.
-- KEYS     1 task hash  2 done list
-- ARGV     none
-- Returns  the task's state, or nil where there is no such task
-- Cost     2 or 3 commands
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'succeeded' and state ~= 'failed' and state ~= 'cancelled' then
  redis.call('HINCRBY', KEYS[1], 'waiting', 1)
else
  redis.call('RPUSH', KEYS[2], state or 'none')
  redis.call('PEXPIRE', KEYS[2], 10000)
end
return state
