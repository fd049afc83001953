-- count: add what a worker has counted since its last beat. It never fails: a number, or a key, that a
-- foreign hand broke is left alone, since no task may suffer from it.
-- KEYS     1 counts
-- ARGV     1 most fields  then for each number: kind, name (of a function), what to add
--          With as many fields as that, numbers of new names are added to those of `(others)`.
-- Returns  how many were added
-- Cost     1 to 2 commands a number, 1 a call
local added, size = 0, redis.pcall('HLEN', KEYS[1])
if type(size) ~= 'number' then return 0 end
for i = 2, #ARGV, 3 do
  local field = ARGV[i] .. ' ' .. ARGV[i + 1]
  if redis.call('HEXISTS', KEYS[1], field) == 0 then
    if size >= tonumber(ARGV[1]) then field = ARGV[i] .. ' (others)' end
    size = size + 1
  end
  if type(redis.pcall('HINCRBY', KEYS[1], field, ARGV[i + 2])) == 'number' then added = added + 1 end
end
return added
