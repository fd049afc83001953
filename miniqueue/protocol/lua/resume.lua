-- resume: workers may claim of this queue again, and idle ones are told so.
-- KEYS     1 paused  2 events  3 wake
-- ARGV     1 events kept
-- Returns  1 it runs again now, 0 it was not paused
-- Cost     at most 4 commands
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], 1, 1, 1, 1, 1, 1, 1, 1)
redis.call('LTRIM', KEYS[3], 0, 63)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'verb', 'resume')
return 1
