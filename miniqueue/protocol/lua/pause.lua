-- pause: workers claim nothing more of this queue; what runs goes on.
-- KEYS     1 paused  2 events
-- ARGV     1 events kept
-- Returns  1 it is paused now, 0 it was before
-- Cost     2 commands
if redis.call('SET', KEYS[1], 1, 'NX') then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'verb', 'pause')
  return 1
end
return 0
