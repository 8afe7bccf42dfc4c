-- Put ids in lanes: each waits for the first of its lanes. One that waits anywhere already keeps its place.
-- ARGV: `put`; or `back`, which lets go of claimed ids and moves them to their scores; or `move`, which only moves them.
--   The latest ms of the claims that end, '' for any. Then for each of 1 to 500 ids: its queue, whether it is of negative priority and due, the id, its score, its payload,
--   its kind, its label or '', and twice: a lane, and what the job or its kind gives it.
-- An id that has left Redis meanwhile stays away, unless it is put. While arq's own worker is at work, which knows no
-- lanes, ids are put on their queues.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
redis.call('DEL', IN_PROGRESS) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local AROUND = 60000 -- ms until a plain arq client's id, which stays on its queue, is looked at again
local lanes, touched, left_over = lanes_at(redis.call('TIME'), {}), {}, {IN_PROGRESS}
local ask, latest = lanes.ask, tonumber(ARGV[2])

local function touch(key)
  touched[key] = lanes.load(key)
  return touched[key]
end

-- Take an id that was claimed, but not started, out of a lane.
local function give_back(it, id)
  if not lanes.leave(it, id, latest) then return end
  local tokens = lanes.tokens_of(it)
  if tokens then lanes.keep_tokens(it, tokens + 1) end
  if it.h.probe == id then lanes.set(it, 'probe', nil) end
end

local function write_payload(id, payload)
  if redis.call('SETNX', JOB .. id, payload) == 1 then return true end
  local job = lanes.job_of(id)
  if job and not job.own then return false end
  redis.call('SET', JOB .. id, payload)
  return true
end

-- Whether an id waits already; `put` itself sees whether it waits for its first lane.
local function move_if_waiting(queue, id, score, keys, moves)
  for i = moves and 1 or 2, #keys do
    local key, waiting = keys[i], lanes.waiting_key(queue, keys[i])
    if lanes.load(key).queues[queue] and ask('ZSCORE', waiting, id) then
      if moves then ask('ZADD', waiting, 'XX', score, id) end
      touch(key)
      return true
    end
  end
  return false
end

local past_lanes = ARGV[1] == 'put' and redis.call('EXISTS', STOCK_WORKER) == 1

local function put(queue, id, score, payload, first)
  if not lanes.wait_in(first, queue, id, score) then return end
  local on_queue = lanes.queue_key(queue)
  if not write_payload(id, payload) then
    ask('ZADD', on_queue, score + AROUND, id)
  elseif ARGV[1] == 'back' then
    ask('ZREM', on_queue, id)
  end
end

-- Put an id, whatever its lanes are.
local function put_in(queue, low, id, score, payload, kind, label, ...)
  local given, keys = {...}, {}
  for j = 1, 3, 2 do
    if given[j] ~= '' then
      local it = lanes.load(given[j])
      keys[#keys + 1] = given[j]
      local hears = #keys == 1 or it.h.configured or lanes.is_order(given[j + 1])
      if hears or ARGV[1] == 'back' then touch(it.key) end
      if hears then lanes.hear(it, given[j + 1], id) end
      if ARGV[1] == 'back' then give_back(it, id) end
    end
  end
  keys[#keys + 1] = 'kind:' .. kind
  if label ~= '' then keys[#keys + 1] = 'kind:' .. label end
  if past_lanes then
    redis.call('SETNX', JOB .. id, payload)
    redis.call('ZADD', lanes.queue_key(queue), 'NX', score, id)
  elseif not move_if_waiting(queue, id, score, keys, ARGV[1] ~= 'put') then
    if ARGV[1] == 'put' or redis.call('ZSCORE', lanes.queue_key(queue), id) then
      put(queue, id, score, payload, lanes.load(keys[1]))
    end
  end
  if low == '1' and not past_lanes then ask('ZADD', LANE_LOW .. queue, score, id) end
end

-- Put those jobs into free lanes that say nothing which would bind these. Returns where the others begin in ARGV.
local function put_in_free(places)
  local plain, others, ids, first_at = {}, {}, {}, {}
  for _, i in ipairs(places) do
    local queue, low, id, score, payload, kind = unpack(ARGV, i, i + 5)
    local lane, given, second = unpack(ARGV, i + 7, i + 9)
    if low ~= '1' and given == '' and second == '' and not lanes.load('kind:' .. kind).queues[queue] then
      plain[#plain + 1] = {at = i, queue = queue, kind = kind, lane = lane, id = id, score = score, payload = payload}
    else
      others[#others + 1] = i
    end
  end
  for i, fits in ipairs(lanes.free_for(plain)) do
    local job = plain[i]
    if fits and write_payload(job.id, job.payload) then
      local waiting, ats = lanes.waiting_key(job.queue, job.lane), first_at[job.queue] or {}
      ids[waiting], first_at[job.queue] = ids[waiting] or {}, ats
      table.insert(ids[waiting], job.score)
      table.insert(ids[waiting], job.id)
      ats[job.lane] = math.min(ats[job.lane] or math.huge, tonumber(job.score))
    else
      others[#others + 1] = job.at
    end
  end
  for waiting, scored in pairs(ids) do ask('ZADD', waiting, 'NX', unpack(scored)) end
  for queue, ats in pairs(first_at) do lanes.come_in_turn(queue, ats) end
  return others
end

local places = {}
for i = 3, #ARGV, 11 do
  places[#places + 1] = i
  if ARGV[1] ~= 'move' then left_over[#left_over + 1] = IN_PROGRESS .. ARGV[i + 2] end
end
if ARGV[1] == 'put' and not past_lanes then places = put_in_free(places) end
for _, i in ipairs(places) do put_in(unpack(ARGV, i, i + 10)) end
redis.call('DEL', unpack(left_over))
lanes.place_all(touched, true)
