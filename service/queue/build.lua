-- One step of building lanes, or of letting them hear new rules.
-- ARGV: the builder, '' for rules alone; the step. `clear`: lanes, in which nothing runs from now on. `run`: for each job
--   its id, its queue, how many lanes, and those lanes with what each was given. `place`: lanes, for which the rules are asked anew.
--   `stay`: lanes, of which those that expire are placed, so that only empty ones do. `started`: as
--   `run`, for jobs that wait no longer. `hold`: as `run`, for jobs that may wait again by now. `head`: a strict lane, the id and due time of its first job, and
--   the head that it must have, '' for any. `hear`: as
--   `run`, for jobs that bring an order and wait elsewhere. `keep`: lanes whose order is kept, for they have live jobs.
--   `forget`: a time in ms, and lanes that had none by then. `open`: the
--   epoch for which lanes are open now; then the queues whose workers are woken.
-- Returns the queues on which anything waits in these lanes.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
redis.call('DEL', IN_PROGRESS) -- a full Redis rejects scripts whose first write needs memory, so start with DEL
local lanes, touched, found = lanes_at(redis.call('TIME'), {}), {}, {}
local ask = lanes.ask
local LOOK_AGAIN = 60000 -- ms until the leader asks the ledger again whether an order is to be kept

local function each_lane(act)
  local i = 3
  while i <= #ARGV do
    local id, queue, count = unpack(ARGV, i, i + 2)
    for j = i + 3, i + 1 + 2 * count, 2 do act(lanes.load(ARGV[j]), id, queue, ARGV[j + 1]) end
    i = i + 3 + 2 * count
  end
end

local function wait_no_longer(it, id, queue)
  ask('ZREM', lanes.waiting_key(queue, it.key), id)
  touched[it.key] = it
end

local steps = {}

function steps.clear()
  for i = 3, #ARGV do
    local it = lanes.load(ARGV[i])
    redis.call('DEL', RUNNING .. it.key)
    it.running = nil
    lanes.set(it, 'probe', nil)
  end
end

local function hold(it, id, _, given)
  lanes.activate(it)
  lanes.hear(it, given, id)
  ask('ZADD', RUNNING .. it.key, 'NX', 0, id)
  it.running = nil
  touched[it.key] = it
end

function steps.hold() each_lane(hold) end

function steps.run()
  each_lane(function(...)
    wait_no_longer(...)
    hold(...)
  end)
end

function steps.started() each_lane(wait_no_longer) end

local function place(key)
  local it = lanes.load(key)
  -- Versions before `configure` did so let lanes that hold something expire with all that jobs said of them.
  if not it.free then ask('PERSIST', LANE .. key) end
  lanes.configure(it)
  touched[key] = it
  for queue in pairs(it.queues) do found[queue] = true end
end

function steps.place()
  for i = 3, #ARGV do place(ARGV[i]) end
end

-- One that has become empty meanwhile is placed, too: that lets it expire again.
function steps.stay()
  for i = 3, #ARGV do
    if redis.call('PTTL', LANE .. ARGV[i]) >= 0 then place(ARGV[i]) end
  end
end

function steps.head()
  local it = lanes.load(ARGV[3])
  if lanes.running_in(it) == 0 and not next(it.queues) then return end
  if ARGV[6] ~= '' and it.h.head ~= ARGV[6] then return end
  lanes.set(it, 'head', ARGV[4])
  -- One that nobody has put yet is waited for from now on: else its lane would be turned to it again and again.
  lanes.set(it, 'head_due', math.max(tonumber(ARGV[5]), lanes.now))
  touched[it.key] = it
end

local function hear(it, id, _, given)
  if not lanes.is_order(given) then return end
  lanes.activate(it)
  lanes.hear(it, given, id)
  touched[it.key] = it
end

function steps.hear() each_lane(hear) end

function steps.keep()
  for i = 3, #ARGV do
    local left = redis.call('PTTL', LANE .. ARGV[i])
    if left >= 0 then
      if left < lanes.KEEP_ORDER then redis.call('PEXPIRE', LANE .. ARGV[i], lanes.KEEP_ORDER) end
      ask('ZADD', IN_ORDER, lanes.now + LOOK_AGAIN, ARGV[i])
    else -- something waits or runs there by now
      ask('ZREM', IN_ORDER, ARGV[i])
    end
  end
end

function steps.forget()
  for i = 4, #ARGV do
    local since = tonumber(ask('ZSCORE', IN_ORDER, ARGV[i]))
    if since and since <= tonumber(ARGV[3]) then
      ask('ZREM', IN_ORDER, ARGV[i])
      touched[ARGV[i]] = lanes.load(ARGV[i])
      touched[ARGV[i]].is_over = true
    end
  end
end

function steps.open()
  redis.call('SET', LANES_EPOCH, ARGV[3])
  redis.call('DEL', LANES_BUILDING)
  for i = 4, #ARGV do
    lanes.wake(ARGV[i], 4)
  end
end

if ARGV[1] ~= '' and redis.call('GET', LANES_BUILDING) ~= ARGV[1] then
  return redis.error_reply('ERR another worker has begun to build the lanes')
end
steps[ARGV[2]]()
lanes.place_all(touched, true)
local queues = {}
for queue in pairs(found) do queues[#queues + 1] = queue end
return queues
