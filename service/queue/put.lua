-- Put ids without lanes on their queues in one call. An id that is there already keeps its place.
-- KEYS: three for each queue. Its sorted set; `low`, for due ids of negative priority; the list that wakes idle workers.
-- ARGV: for each of 1 to 1,000 ids: its queue's number from 0, whether it is of negative priority and due, the id, its
--   score, its payload.
local places, left_over, lanes, touched = {}, {}, nil, {}
if redis.call('EXISTS', LANES) == 1 then
  redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
  lanes = lanes_at(redis.call('TIME'), {})
end

local function add(key, score, id)
  places[key] = places[key] or {}
  table.insert(places[key], score)
  table.insert(places[key], id)
end

-- An id goes where others of its kind wait, if they have to.
local function waits_for_kind(number, score, id, is_low)
  local kind = lanes.load('kind:' .. lanes.job_of(id).kind)
  local queue = string.sub(KEYS[number + 3], #WAKE + 1)
  if not kind.queues[queue] or redis.call('ZSCORE', KEYS[number + 1], id) then return false end
  lanes.wait_in(kind, queue, id, score)
  if is_low then lanes.ask('ZADD', LANE_LOW .. queue, score, id) end
  touched[kind.key] = kind
  return true
end

for i = 1, #ARGV, 5 do
  local number, id, score = 3 * ARGV[i], ARGV[i + 2], ARGV[i + 3]
  redis.call('SETNX', JOB .. id, ARGV[i + 4])
  table.insert(left_over, IN_PROGRESS .. id)
  if not lanes or not waits_for_kind(number, score, id, ARGV[i + 1] == '1') then
    add(KEYS[number + 1], score, id)
    if ARGV[i + 1] == '1' then add(KEYS[number + 2], score, id) end
  end
end
if lanes then lanes.place_all(touched) end
redis.call('DEL', unpack(left_over)) -- left-over claims
for key, all in pairs(places) do
  redis.call('ZADD', key, 'NX', unpack(all))
end
-- A few are enough: a worker that finds more than it can take wakes another.
for number = 1, #KEYS, 3 do
  if redis.call('LLEN', KEYS[number + 2]) < 4 then redis.call('LPUSH', KEYS[number + 2], 1) end
end
