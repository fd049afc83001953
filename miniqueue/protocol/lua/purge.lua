-- purge: a failed task is forgotten now, with its logs and output.
-- KEYS     1 failed  2 events  3 stats
-- ARGV     1 key prefix  2 id  3 events kept
-- Returns  1 forgotten, 0 it is not a failed task
-- Cost     5 commands, 7 with a unique key
local key = ARGV[1] .. 'task:' .. ARGV[2]
if redis.call('ZREM', KEYS[1], ARGV[2]) == 0 then return 0 end
local unique = redis.pcall('HGET', key, 'unique')
if type(unique) == 'string' then
  local lock = ARGV[1] .. 'unique:' .. unique
  local holder = redis.call('GET', lock) or '' -- perhaps a later task: a key lives shorter than a failed task
  if holder:sub(-#ARGV[2] - 1) == ' ' .. ARGV[2] then redis.call('UNLINK', lock) end
end
redis.call('UNLINK', key, ARGV[1] .. 'logs:' .. ARGV[2], ARGV[1] .. 'output:' .. ARGV[2])
redis.call('HINCRBY', KEYS[3], 'purge', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'verb', 'purge', 'tasks', ARGV[2] .. '/0')
return 1
