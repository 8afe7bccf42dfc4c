-- Claims where there are lanes, or kinds that have to wait: half is for lanes and half for ids without; what one half
-- leaves, the other gets. `claim` has what claim.lua knows; ARGV is told there.

-- The epoch for which lanes were built; '' if that is not this life of this Redis: then lanes are closed.
local function epoch_of_lanes(now)
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
local function paused_names(claim, is_open)
  local paused = {}
  for _, name in ipairs(claim.read('ZRANGEBYSCORE', PAUSED, '(' .. claim.now, '+inf')) do paused[name] = true end
  if not is_open then
    for i = 1, ARGV[9] do paused[ARGV[9 + 2 * ARGV[8] + i]] = true end
  end
  return paused
end

-- What the claimer may take of each lane and kind. Kinds are minded where they are paused, or may get
-- their share by this claim.
local function shares_of_claimer(is_open, paused, most)
  local held = {}
  for i = 10, 8 + 2 * ARGV[8], 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
  local kind_share = is_open and tonumber(ARGV[6]) or math.huge
  local share, minded = {held = held, paused = paused, lane_share = tonumber(ARGV[5]), kind_share = kind_share}, {}
  for name in pairs(paused) do minded[#minded + 1] = string.match(name, '^kind:(.*)') end
  for name, count in pairs(held) do
    if count + most > kind_share then minded[#minded + 1] = string.match(name, '^kind:(.*)') end
  end
  share.minded, share.minds_all = minded, most > kind_share
  return share
end

-- Returns whether there may be more.
local function claim_in_halves(claim, numbers, take_laneless, take_low)
  local epoch = epoch_of_lanes(claim.now)
  local is_open = epoch ~= ''
  local paused = paused_names(claim, is_open)
  local lanes = lanes_at(claim.time, claim.mended)
  local most = math.max(claim.room, tonumber(ARGV[2]))
  local serving = serving_of(lanes, shares_of_claimer(is_open, paused, most), claim.hold, claim.longest, claim.mended)
  claim.serving = serving
  local unpaused = {}
  for _, number in ipairs(numbers) do
    local queue = 'queue:' .. claim.name_of(number)
    if paused[queue] then serving.left[queue] = true else unpaused[#unpaused + 1] = number end
  end
  -- Ids of a kind that has its share would have to wait for it, in a lane: then all ids wait, until lanes are rebuilt.
  if not is_open and ARGV[7] == '1' then claim.room = 0 end
  local in_lanes = is_open and tonumber(ARGV[2]) or 0
  local asked, all = claim.room, math.max(claim.room, in_lanes)

  local function serve_up_to(what, count)
    local taken = 0
    count = math.min(in_lanes, count, all)
    for place, number in ipairs(unpaused) do
      local share = math.ceil((count - taken) / (#unpaused - place + 1))
      taken = taken + serving[what](number, claim.name_of(number), share)
    end
    in_lanes, all = in_lanes - taken, all - taken
    claim.room = math.min(claim.room, all)
  end

  local function take_up_to(take_some)
    local before = claim.room
    serving.sifts = serving.holds_back()
    if claim.room > 0 then take_some(unpaused) end
    all = all - (before - claim.room)
  end

  serve_up_to('serve', math.floor(all / 2 + (claim.time[2] % 2) / 2)) -- an odd one goes now to these, now to those
  take_up_to(take_laneless)
  serve_up_to('serve', all)
  take_up_to(take_low)
  serve_up_to('serve_low', all)
  serving.finish()
  local left = {}
  for name in pairs(serving.left) do left[#left + 1] = name end
  -- Some running set may have been in the key that was put aside: then the ledger starts nothing of this claim.
  if #claim.mended > 0 and redis.call('EXISTS', LANES_EPOCH) == 0 then epoch = '' end
  claim.reply[3] = {epoch, left, serving.claimed}
  local goes_on = serving.goes_on or (in_lanes <= 0 and #serving.claimed > 0)
  return goes_on or all == 0 and (asked > 0 or #serving.claimed > 0)
end
