-- Take ids off a queue for good, with all that belongs to them, also where they wait for lanes. What runs in a lane stays
-- there until it is released.
-- KEYS: the queue's sorted set; `low`. ARGV: the queue; then 1 to 1,000 ids.
local lanes, touched = nil, {}
if redis.call('EXISTS', LANES) == 1 then
  redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
  lanes = lanes_at(redis.call('TIME'), {})
end

local function leave_lane(key, id)
  if lanes.ask('ZREM', lanes.waiting_key(ARGV[1], key), id) == 1 then touched[key] = lanes.load(key) end
end

local function leave_lanes(id)
  local job = lanes.job_of(id)
  if not job then return end
  for _, key in ipairs(job.lanes) do leave_lane(key, id) end
  for _, key in ipairs(lanes.kind_keys(job)) do
    if lanes.load(key).queues[ARGV[1]] then leave_lane(key, id) end
  end
end

local belongings = {}
for i = 2, #ARGV do
  belongings[#belongings + 1] = JOB .. ARGV[i]
  belongings[#belongings + 1] = IN_PROGRESS .. ARGV[i]
  if lanes then leave_lanes(ARGV[i]) end
end
redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
redis.call('ZREM', KEYS[2], unpack(ARGV, 2))
if lanes then lanes.ask('ZREM', LANE_LOW .. ARGV[1], unpack(ARGV, 2)) end
redis.call('DEL', unpack(belongings))
if lanes then lanes.place_all(touched, true) end
