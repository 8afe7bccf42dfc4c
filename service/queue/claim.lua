-- Claim due ids of several queues in one call, by Redis' own clock.
-- KEYS: four for each queue. Its sorted set; `low`, which holds the due ids of negative priority; `aside`, the names of
--   the kinds whose ids are set aside at <aside>:<kind> for claimers that know them; the list that wakes idle workers.
--   Ids in the second and the third are in the first too.
-- ARGV: how many ids; for how many ms to hold them; the prefixes of in-progress keys and of parked keys; the most bytes
--   that an id may have; then the kinds that the claimer knows.
-- A claimed id moves ahead by the hold, so that it never blocks the head, and is marked in progress for as long.
-- Returns the time in ms, what was mended as {what, key, member}, and for each queue its claimed ids.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
local room, hold, in_progress, parked, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
redis.call('DEL', ARGV[3]) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local queues = #KEYS / 4
local mended = {}
local reply = {now, mended}

-- A key of another type would break every claim of every worker: rename it, and keep it for whoever put it there.
local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if not found.err then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
  local aside = parked .. key .. ':' .. now
  redis.call('RENAME', key, aside)
  mended[#mended + 1] = {'queue_key_parked', key, aside}
  return {}
end

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
  elseif redis.call('SET', in_progress .. id, '1', 'NX', 'PX', hold) then
    claimed[#claimed + 1] = id
    room = room - 1
  elseif redis.call('PTTL', in_progress .. id) == -1 then
    redis.call('PEXPIRE', in_progress .. id, hold)
    mended[#mended + 1] = {'endless_claim_ended', queue, id}
  end
end

-- Returns whether there may be more.
local function take(number, source, latest, count)
  local queue = KEYS[4 * number - 3]
  local ids = read('ZRANGEBYSCORE', source, '-inf', latest, 'LIMIT', 0, count)
  for _, id in ipairs(hold_back(queue, source, ids)) do
    claim(reply[number + 2], queue, id)
  end
  return #ids == count
end

local function take_aside(number, share)
  local aside, known, least = KEYS[4 * number - 1], {}, room - share
  local kinds = read('SRANDMEMBER', aside, 100) -- bounded: foreign jobs may name any number of kinds
  if #kinds == 0 then return end
  for i = 6, #ARGV do known[ARGV[i]] = true end
  for _, kind in ipairs(kinds) do
    if known[kind] and room > least and not take(number, aside .. ':' .. kind, '+inf', room - least) then
      redis.call('SREM', aside, kind)
    end
  end
end

-- Each queue gets a share, so that a flooded queue leaves room for the others. Queues with more ids then fill the rest.
local more = {}
for number = 1, queues do
  reply[number + 2] = {}
  local before, share = room, math.ceil(room / (queues - number + 1))
  take_aside(number, share)
  local left = share - (before - room)
  more[number] = left == 0 or take(number, KEYS[4 * number - 3], now, left)
end
for number = 1, queues do
  if more[number] and room > 0 then take(number, KEYS[4 * number - 3], now, room) end
end
for number = 1, queues do
  if room > 0 then take(number, KEYS[4 * number - 2], '+inf', room) end
end
if room == 0 and redis.call('LLEN', KEYS[4]) == 0 then redis.call('LPUSH', KEYS[4], 1) end -- there may be more
return reply
