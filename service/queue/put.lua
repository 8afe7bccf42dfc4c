-- Put ids on their queues in one call. An id that is there already keeps its place.
-- KEYS: three for each queue. Its sorted set; `low`, for due ids of negative priority; the list that wakes idle workers.
-- ARGV: prefixes of the payloads' and the in-progress keys; then for each of 1 to 1,000 ids: its queue's number from 0,
--   whether it is of negative priority and due, the id, its score, its payload.
local places, left_over = {}, {}

local function add(key, score, id)
  places[key] = places[key] or {}
  table.insert(places[key], score)
  table.insert(places[key], id)
end

for i = 3, #ARGV, 5 do
  local number, id, score = 3 * ARGV[i], ARGV[i + 2], ARGV[i + 3]
  redis.call('SETNX', ARGV[1] .. id, ARGV[i + 4])
  table.insert(left_over, ARGV[2] .. id)
  add(KEYS[number + 1], score, id)
  if ARGV[i + 1] == '1' then add(KEYS[number + 2], score, id) end
end
redis.call('DEL', unpack(left_over)) -- left-over claims
for key, all in pairs(places) do
  redis.call('ZADD', key, 'NX', unpack(all))
end
-- A few are enough: a worker that finds more than it can take wakes another.
for number = 1, #KEYS, 3 do
  if redis.call('LLEN', KEYS[number + 2]) < 4 then redis.call('LPUSH', KEYS[number + 2], 1) end
end
