-- Let jobs leave their lanes' running sets; hear what they say of their destinations, and whom strict lanes wait for.
-- ARGV: for each group of jobs: the latest ms of the claims that end, '' for any; whether the destination is alive (1, 0,
--   or '' for nothing); for how many ms its breaker opens, or ''; why; when the jobs go on, in ms, or ''; how many lanes,
--   and those lanes; how many ids, and those ids. The verdict is on the last lane.
-- Returns the breakers that changed: {lane, state, until, step, reason}.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
redis.call('DEL', IN_PROGRESS) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local lanes, touched, changed = lanes_at(redis.call('TIME'), {}), {}, {}

local function follow(it, id, goes_on)
  if it.h.strict and goes_on ~= '' then
    lanes.set(it, 'head', id)
    lanes.set(it, 'head_due', goes_on)
  elseif it.h.head == id then
    lanes.set(it, 'head', nil)
    lanes.set(it, 'head_due', nil)
  end
end

-- Let the ids ARGV[first] to ARGV[last] leave lanes one by one.
local function release(keys, first, last, latest, alive, hold, reason, goes_on)
  for at = first, last do
    local id = ARGV[at]
    for j, key in ipairs(keys) do
      local it = lanes.load(key)
      touched[key] = it
      local left = lanes.leave(it, id, latest)
      if left ~= nil then
        local probing = it.h.probe == id
        if probing then lanes.set(it, 'probe', nil) end
        follow(it, id, goes_on)
        -- What is told again, because nobody knows whether Redis heard, has left by now: its verdict counts once.
        if left and j == #keys then changed[#changed + 1] = lanes.judge(it, probing, alive, hold, reason) end
      end
    end
  end
end

local groups, firsts, served = {}, {}, {}
local i = 1
while i <= #ARGV do
  groups[#groups + 1], firsts[#firsts + 1] = i, ARGV[i + 6]
  i = i + 6 + ARGV[i + 5]
  i = i + 1 + ARGV[i]
end

local free = lanes.free_among(firsts)
for n, from in ipairs(groups) do
  local latest, alive, hold, reason, goes_on, count = unpack(ARGV, from, from + 5)
  local key, first = firsts[n], from + 7 + count
  local last = first - 1 + ARGV[first - 1]
  if free[key] and count == '1' and alive ~= '0' and hold == '' and not lanes.is_loaded(key) then
    lanes.leave_free(key, {unpack(ARGV, first, last)}, tonumber(latest))
    local queue = lanes.queue_in(free[key])
    served[queue] = served[queue] or {}
    table.insert(served[queue], key)
  else
    release({unpack(ARGV, from + 6, first - 2)}, first, last, tonumber(latest), alive, tonumber(hold), reason, goes_on)
  end
end
for queue, keys in pairs(served) do lanes.retire_free(queue, keys) end
lanes.place_all(touched, true)
return changed
