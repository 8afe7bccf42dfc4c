-- Let jobs leave their lanes' running sets; hear what they say of their destinations, and whom strict lanes wait for.
-- ARGV: for each job: its id; the latest ms of the claim that ends, '' for any; whether the destination is alive (1, 0,
--   or '' for nothing); for how many ms its breaker opens, or ''; why; when the job goes on, in ms, or ''; how many
--   lanes, and those lanes. The verdict is on the last one.
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

local i = 1
while i <= #ARGV do
  local id, latest, alive, hold, reason, goes_on, count = unpack(ARGV, i, i + 6)
  for j = i + 7, i + 6 + count do
    local it = lanes.load(ARGV[j])
    touched[ARGV[j]] = it
    local left = lanes.leave(it, id, tonumber(latest))
    if left ~= nil then
      local probing = it.h.probe == id
      if probing then lanes.set(it, 'probe', nil) end
      follow(it, id, goes_on)
      -- What is told again, because nobody knows whether Redis heard, has left by now: its verdict counts once.
      if left and j == i + 6 + count then changed[#changed + 1] = lanes.judge(it, probing, alive, tonumber(hold), reason) end
    end
  end
  i = i + 7 + count
end
lanes.place_all(touched, true)
return changed
