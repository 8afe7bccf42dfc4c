-- Claim due ids of several queues in one call, by Redis' own clock.
-- KEYS: six for each queue. Its sorted set; `low`, which holds the due ids of negative priority; `aside`, the names of
--   the kinds whose ids are set aside at <aside>:<kind> for claimers that know them; the list that wakes idle workers;
--   the turns of its lanes; the ids in lanes of negative priority. Ids in the second and the third are in the first too.
-- ARGV: how many ids without lanes, and in lanes; for how many ms to hold them; the most bytes that an id may have; the
--   claimer's shares of a lane and of a kind; whether a kind has its share; how many shares it holds, and names that it
--   knows to be paused; those shares as pairs; those names; the queues; then the kinds that the claimer knows.
-- A claimed id moves ahead by the hold, so that it never blocks the head, and is marked in progress for as long.
-- Returns the time in ms, what was mended as {what, key, member}, what lanes said (see `lanes_say`), and for each queue
--   its claimed ids.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
local room, hold, longest = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first_kind = 10 + 2 * ARGV[8] + ARGV[9] + #KEYS / 6
redis.call('DEL', IN_PROGRESS) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local queues = #KEYS / 6
local mended = {}
local reply = {now, mended, {}}
local serving -- only where there is a lane, or a kind that has to wait

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
    room = room - 1
  elseif redis.call('PTTL', IN_PROGRESS .. id) == -1 then
    redis.call('PEXPIRE', IN_PROGRESS .. id, hold)
    mended[#mended + 1] = {'endless_claim_ended', queue, id}
  end
end

-- Returns the first ids of `source`, and whether there may be more. Ids whose kinds have to wait move out of the way.
local function first_of(number, source, latest, count)
  if not (serving and serving.sifts) then
    local ids = read('ZRANGEBYSCORE', source, '-inf', latest, 'LIMIT', 0, count)
    return ids, #ids == count
  end
  local kept, ids = {}, {}
  repeat
    ids = read('ZRANGEBYSCORE', source, '-inf', latest, 'LIMIT', #kept, 200)
    for position, id in ipairs(ids) do
      local job = #id > 0 and #id <= longest and serving.must_wait(id)
      if job then
        serving.move_to_kind(id, name_of(number), job, serving.moves)
        if source ~= KEYS[6 * number - 5] then redis.call('ZREM', source, id) end
      else
        kept[#kept + 1] = id
      end
      if #kept == count then return kept, true end
    end
  until #ids < 200 or serving.moves >= serving.MOST
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
  local aside, known, least = KEYS[6 * number - 3], {}, room - share
  local kinds = read('SRANDMEMBER', aside, 100) -- bounded: foreign jobs may name any number of kinds
  if #kinds == 0 then return end
  for i = first_kind, #ARGV do known[ARGV[i]] = true end
  for _, kind in ipairs(kinds) do
    if known[kind] and room > least and not take(number, aside .. ':' .. kind, '+inf', room - least) then
      redis.call('SREM', aside, kind)
    end
  end
end

-- Each queue gets a share, so that a flooded queue leaves room for the others. Queues with more ids then fill the rest.
local function take_laneless(numbers)
  local more = {}
  for place, number in ipairs(numbers) do
    local before, share = room, math.ceil(room / (#numbers - place + 1))
    take_aside(number, share)
    local left = share - (before - room)
    more[number] = left == 0 or take(number, KEYS[6 * number - 5], now, left)
  end
  for _, number in ipairs(numbers) do
    if more[number] and room > 0 then take(number, KEYS[6 * number - 5], now, room) end
  end
end

local function take_low(numbers)
  for _, number in ipairs(numbers) do
    if room > 0 then take(number, KEYS[6 * number - 4], '+inf', room) end
  end
end

-- Half is for lanes and half for ids without; what one half leaves, the other gets.
local function take_with_lanes(numbers)
  -- The epoch for which lanes were built; '' if that is not this life of this Redis: then lanes are closed.
  local function epoch_of_lanes()
    local built, marker = redis.pcall('GET', LANES_EPOCH), redis.pcall('GET', MARKER)
    if type(built) ~= 'string' or type(marker) ~= 'string' then return '' end
    -- INFO takes Redis as long as a claim, so its answer counts for 32 ms. They are named: a replica that takes over may
    -- have another clock, by which nothing has expired.
    local checked = marker .. built .. ':' .. math.floor(now / 32)
    if redis.pcall('GET', LANES_CHECKED) == checked then return built end
    local info = redis.pcall('INFO', 'replication')
    local history = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
    local epoch = marker .. ':' .. string.sub(history, 1, 16)
    if built ~= epoch and string.sub(built, 1, #epoch + 1) ~= epoch .. '/' then return '' end
    redis.call('SET', LANES_CHECKED, checked, 'PX', 100)
    return built
  end

  -- While Redis' lanes are not to be trusted, what the claimer knows to be paused counts, too.
  local function paused_names(is_open)
    local paused = {}
    for _, name in ipairs(read('ZRANGEBYSCORE', PAUSED, '(' .. now, '+inf')) do paused[name] = true end
    if not is_open then
      for i = 1, ARGV[9] do paused[ARGV[9 + 2 * ARGV[8] + i]] = true end
    end
    return paused
  end

  local function begin_serving(is_open, paused)
    local held = {}
    for i = 10, 8 + 2 * ARGV[8], 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
    local shares = {held = held, paused = paused, lane_share = tonumber(ARGV[5])}
    shares.kind_share = is_open and tonumber(ARGV[6]) or math.huge
    serving = serving_of(lanes_at(time, mended), shares, hold, longest, mended)
  end

  local function unpaused(numbers, paused)
    local found = {}
    for _, number in ipairs(numbers) do
      if paused['queue:' .. name_of(number)] then
        serving.left['queue:' .. name_of(number)] = true
      else
        found[#found + 1] = number
      end
    end
    return found
  end

  local function serve(what, numbers, count)
    local taken = 0
    for place, number in ipairs(numbers) do
      taken = taken + serving[what](number, name_of(number), math.ceil((count - taken) / (#numbers - place + 1)))
    end
    return taken
  end

  local epoch = epoch_of_lanes()
  local paused = paused_names(epoch ~= '')
  begin_serving(epoch ~= '', paused)
  numbers = unpaused(numbers, paused)
  -- Ids of a kind that has its share would have to wait for it, in a lane: then all ids wait, until lanes are rebuilt.
  if epoch == '' and ARGV[7] == '1' then room = 0 end
  local in_lanes = epoch ~= '' and tonumber(ARGV[2]) or 0
  local asked, all = room, math.max(room, in_lanes)
  local function serve_up_to(what, count)
    local taken = serve(what, numbers, math.min(in_lanes, count, all))
    in_lanes, all = in_lanes - taken, all - taken
    room = math.min(room, all)
  end
  local function take_up_to(take_some)
    local before = room
    serving.sifts = serving.holds_back()
    if room > 0 then take_some(numbers) end
    all = all - (before - room)
  end
  serve_up_to('serve', math.floor(all / 2 + (time[2] % 2) / 2)) -- an odd one goes now to these, now to those
  take_up_to(take_laneless)
  serve_up_to('serve', all)
  take_up_to(take_low)
  serve_up_to('serve_low', all)
  serving.finish()
  local left = {}
  for name in pairs(serving.left) do left[#left + 1] = name end
  -- Some running set may have been in the key that was put aside: then the ledger starts nothing of this claim.
  if #mended > 0 and redis.call('EXISTS', LANES_EPOCH) == 0 then epoch = '' end
  reply[3] = {epoch, left, serving.claimed}
  local goes_on = serving.goes_on or (in_lanes <= 0 and #serving.claimed > 0)
  return goes_on or all == 0 and (asked > 0 or #serving.claimed > 0)
end

local numbers, waits_in_lanes = {}, {PAUSED}
for number = 1, queues do
  reply[number + 3], numbers[number] = {}, number
  waits_in_lanes[2 * number], waits_in_lanes[2 * number + 1] = KEYS[6 * number - 1], KEYS[6 * number]
end
local more
if ARGV[7] == '1' or ARGV[9] ~= '0' or redis.call('EXISTS', unpack(waits_in_lanes)) > 0 then
  more = take_with_lanes(numbers)
elseif room > 0 then
  take_laneless(numbers)
  take_low(numbers)
  more = room == 0
end
if more and redis.call('LLEN', KEYS[4]) == 0 then redis.call('LPUSH', KEYS[4], 1) end
return reply
