-- Claim due ids of several queues in one call, by Redis' own clock.
-- KEYS: six for each queue. Its sorted set; `low`, which holds the due ids of negative priority; `aside`, the names of
--   the kinds whose ids are set aside at <aside>:<kind> for claimers that know them; the list that wakes idle workers;
--   the turns of its lanes; the ids in lanes of negative priority. Ids in the second and the third are in the first too.
-- ARGV: how many ids without lanes, and in lanes; for how many ms to hold them; the most bytes that an id may have; the
--   claimer's shares of a lane and of a kind; whether a kind has its share; how many shares it holds, and names that it
--   knows to be paused; those shares as pairs; those names; the queues; then the kinds that the claimer knows.
-- A claimed id moves ahead by the hold, so that it never blocks the head, and is marked in progress for as long.
-- Returns the time in ms, what was mended as {what, key, member}, what lanes said (epoch, names that it left, claimed), and for each queue
--   its claimed ids.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
local hold, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local first_kind = 10 + 2 * ARGV[8] + ARGV[9] + #KEYS / 6
redis.call('DEL', IN_PROGRESS) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local queues = #KEYS / 6
local mended = {}
local reply = {now, mended, {}}
-- `room` is for how many ids without lanes; `serving` is there where there is a lane, or a kind that has to wait.
local this = {room = tonumber(ARGV[1]), time = time, now = now, hold = hold, longest = longest, mended = mended}

-- A key of another type would break every claim of every worker: rename it, and keep it for whoever put it there.
local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if not found.err then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
  local aside = PARKED .. key .. ':' .. now
  redis.call('RENAME', key, aside)
  mended[#mended + 1] = {'queue_key_parked', key, aside}
  return {}
end

local function name_of(number) return ARGV[first_kind - 1 - queues + number] end

-- Move ids ahead by the hold. Returns the ids that are on the queue: `low` and `aside` may also name others.
local function hold_back(queue, source, ids)
  if source == queue then
    for first = 1, #ids, 1000 do
      local places = {}
      for i = first, math.min(first + 999, #ids) do
        places[#places + 1] = now + hold
        places[#places + 1] = ids[i]
      end
      redis.call('ZADD', queue, 'XX', unpack(places))
    end
    return ids
  end
  local held = {}
  for _, id in ipairs(ids) do
    redis.call('ZREM', source, id)
    if redis.call('ZADD', queue, 'XX', 'CH', now + hold, id) == 1 then held[#held + 1] = id end
  end
  return held
end

local function claim(claimed, queue, id)
  if #id == 0 or #id > longest then
    redis.call('ZREM', queue, id)
    mended[#mended + 1] = {'queue_member_removed', queue, string.sub(id, 1, longest)}
  elseif redis.call('SET', IN_PROGRESS .. id, '1', 'NX', 'PX', hold) then
    claimed[#claimed + 1] = id
    this.room = this.room - 1
  elseif redis.call('PTTL', IN_PROGRESS .. id) == -1 then
    redis.call('PEXPIRE', IN_PROGRESS .. id, hold)
    mended[#mended + 1] = {'endless_claim_ended', queue, id}
  end
end

-- Returns the first ids of `source`, and whether there may be more. Ids whose kinds have to wait move out of the way, but
-- for those that are claimed already: the start of a job takes its id from where the claim has put it.
local function first_of(number, source, latest, count)
  if not (this.serving and this.serving.sifts) then
    local ids = read('ZRANGEBYSCORE', source, '-inf', latest, 'LIMIT', 0, count)
    return ids, #ids == count
  end
  local kept, ids = {}, {}
  repeat
    ids = read('ZRANGEBYSCORE', source, '-inf', latest, 'LIMIT', #kept, 200)
    for _, id in ipairs(ids) do
      local job = #id > 0 and #id <= longest and this.serving.must_wait(id)
      if job and redis.call('EXISTS', IN_PROGRESS .. id) == 0 then
        this.serving.move_to_kind(id, name_of(number), job, this.serving.moves)
        if source ~= KEYS[6 * number - 5] then redis.call('ZREM', source, id) end
      else
        kept[#kept + 1] = id
      end
      if #kept == count then return kept, true end
    end
  until #ids < 200 or this.serving.moves >= this.serving.MOST
  return kept, #ids == 200
end

-- Returns whether there may be more.
local function take(number, source, latest, count)
  local queue = KEYS[6 * number - 5]
  local ids, more = first_of(number, source, latest, count)
  for _, id in ipairs(hold_back(queue, source, ids)) do
    claim(reply[number + 3], queue, id)
  end
  return more
end

local function take_aside(number, share)
  local aside, known, least = KEYS[6 * number - 3], {}, this.room - share
  local kinds = read('SRANDMEMBER', aside, 100) -- bounded: foreign jobs may name any number of kinds
  if #kinds == 0 then return end
  for i = first_kind, #ARGV do known[ARGV[i]] = true end
  for _, kind in ipairs(kinds) do
    if known[kind] and this.room > least and not take(number, aside .. ':' .. kind, '+inf', this.room - least) then
      redis.call('SREM', aside, kind)
    end
  end
end

-- Each queue gets a share, so that a flooded queue leaves room for the others. Queues with more ids then fill the rest.
local function take_laneless(numbers)
  local more = {}
  for place, number in ipairs(numbers) do
    local before, share = this.room, math.ceil(this.room / (#numbers - place + 1))
    take_aside(number, share)
    local left = share - (before - this.room)
    more[number] = left == 0 or take(number, KEYS[6 * number - 5], now, left)
  end
  for _, number in ipairs(numbers) do
    if more[number] and this.room > 0 then take(number, KEYS[6 * number - 5], now, this.room) end
  end
end

local function take_low(numbers)
  for _, number in ipairs(numbers) do
    if this.room > 0 then take(number, KEYS[6 * number - 4], '+inf', this.room) end
  end
end

local numbers, waits_in_lanes = {}, {PAUSED}
for number = 1, queues do
  reply[number + 3], numbers[number] = {}, number
  waits_in_lanes[2 * number], waits_in_lanes[2 * number + 1] = KEYS[6 * number - 1], KEYS[6 * number]
end
local more
if ARGV[7] == '1' or ARGV[9] ~= '0' or redis.call('EXISTS', unpack(waits_in_lanes)) > 0 then
  this.read, this.name_of, this.reply = read, name_of, reply
  more = claim_in_halves(this, numbers, take_laneless, take_low)
elseif this.room > 0 then
  take_laneless(numbers)
  take_low(numbers)
  more = this.room == 0
end
if more and redis.call('LLEN', KEYS[4]) == 0 then redis.call('LPUSH', KEYS[4], 1) end
return reply
