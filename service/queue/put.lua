-- Put ids on their queues, in one call; one that is there already keeps its place.
-- KEYS: three for each queue. Its sorted set; `low`, for due ids of negative priority; the list that wakes idle workers.
-- ARGV: prefixes of the payloads' and the in-progress keys; then for each id: its queue's number from 0, whether it is
--   of negative priority and due, the id, its score, its payload.
local touched = {}
for i = 3, #ARGV, 5 do
  local number, id, score = 3 * ARGV[i], ARGV[i + 2], ARGV[i + 3]
  redis.call('SETNX', ARGV[1] .. id, ARGV[i + 4])
  redis.call('DEL', ARGV[2] .. id) -- a left-over claim
  redis.call('ZADD', KEYS[number + 1], 'NX', score, id)
  if ARGV[i + 1] == '1' then redis.call('ZADD', KEYS[number + 2], 'NX', score, id) end
  touched[number] = true
end
-- A few are enough: a worker that finds more than it can take wakes the next one.
for number in pairs(touched) do
  if redis.call('LLEN', KEYS[number + 3]) < 4 then redis.call('LPUSH', KEYS[number + 3], 1) end
end
