-- wait: a client is about to block until a task ends; the end will leave it a token in done:ID.
-- KEYS     1 task hash
-- ARGV     none
-- Returns  the task's state, or nil where there is no such task; the token comes if it is not final
-- Cost     2 commands
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'succeeded' and state ~= 'failed' and state ~= 'cancelled' then
  redis.call('HINCRBY', KEYS[1], 'waiting', 1)
end
return state
