-- Free lanes: nothing limits them, so they only take turns. All ids that wait for one are our own, on one queue, and in no
-- other lane. Redis keeps no hash of a free lane: FREE says that it is one, on which queue, and of which kinds its jobs
-- are, as `queue,kind,kind,`. Whatever else there is to know of it binds it (a limit, a failure of its destination, an id
-- that is in two lanes), until it is empty. A free lane costs a few commands for all its ids, where a bound one costs some
-- for each.
-- Adds to `lanes`: free_among, queue_in, free_for, enter_free, leave_free, retire_free.
local function add_free(lanes)
  local ask, now = lanes.ask, lanes.now
  local AT_ONCE, TOGETHER, LONGEST = 500, 50, 1000

  local function queue_in(text) return string.match(text, '^[^,]*') end

  -- Drop lanes of which FREE should know no more. Older workers and APIs do not know FREE: they forget a lane that it has,
  -- or bind it.
  local function drop_forgotten(free)
    local found, hashes = {}, {}
    for key in pairs(free) do
      found[#found + 1] = key
      hashes[#hashes + 1] = LANE .. key
    end
    for first = 1, #found, AT_ONCE do
      local last = math.min(first + AT_ONCE - 1, #found)
      local known = ask('SMISMEMBER', LANES, unpack(found, first, last))
      local any_bound = ask('EXISTS', unpack(hashes, first, last)) > 0
      for i = first, last do
        if known[i - first + 1] == 0 or any_bound and ask('EXISTS', hashes[i]) == 1 then
          ask('HDEL', FREE, found[i])
          free[found[i]] = nil
        end
      end
    end
  end

  -- Returns what is said of those lanes that are free.
  local function free_among(keys)
    local free = {}
    for first = 1, #keys, AT_ONCE do
      local last = math.min(first + AT_ONCE - 1, #keys)
      local texts = ask('HMGET', FREE, unpack(keys, first, last))
      for i = first, last do free[keys[i]] = texts[i - first + 1] or nil end
    end
    drop_forgotten(free)
    return free
  end

  -- Let jobs wait in lanes that are free, or become so because nothing is known of them, nor said. `jobs` are tables with
  -- a `lane`, a `queue` and a `kind`. Returns whether each one's lane is free for it.
  local function free_for(jobs)
    local keys, fits, changed, begun = {}, {}, {}, {}
    for i, job in ipairs(jobs) do keys[i] = job.lane end
    local free = free_among(keys)
    for i, job in ipairs(jobs) do
      local key = job.lane
      if not free[key] and ask('EXISTS', LANE .. key) == 0 and not lanes.is_ruled(key) then
        free[key] = job.queue .. ','
        begun[#begun + 1] = key
      end
      fits[i] = free[key] ~= nil and queue_in(free[key]) == job.queue and #free[key] <= LONGEST
      if fits[i] and not string.find(free[key], ',' .. job.kind .. ',', 1, true) then
        free[key] = free[key] .. job.kind .. ','
        changed[key] = free[key]
      end
    end
    local told = {}
    for key, text in pairs(changed) do
      told[#told + 1] = key
      told[#told + 1] = text
    end
    if #told > 0 then ask('HSET', FREE, unpack(told)) end
    if #begun > 0 then ask('SADD', LANES, unpack(begun)) end
    return fits
  end

  local function scored(score, ids)
    local both = {}
    for i, id in ipairs(ids) do both[2 * i - 1], both[2 * i] = score, id end
    return both
  end

  -- Let due ids run, and stand ahead until then. Returns them without those that run already, which come up again.
  local function enter_free(key, from, ids, held_until, again_at)
    ask('ZADD', from, 'XX', unpack(scored(held_until, ids)))
    if ask('ZADD', RUNNING .. key, 'NX', unpack(scored(lanes.this_claim, ids))) == #ids then return ids end
    local entered, since = {}, ask('ZMSCORE', RUNNING .. key, unpack(ids))
    for i, id in ipairs(ids) do
      if tonumber(since[i]) == lanes.this_claim then entered[#entered + 1] = id else ask('ZADD', from, 'XX', again_at, id) end
    end
    return entered
  end

  -- End claims, but for those that are newer than `latest`.
  local function leave_free(key, ids, latest)
    if latest then
      local old = {}
      for i, since in ipairs(ask('ZMSCORE', RUNNING .. key, unpack(ids))) do
        if since and tonumber(since) <= latest then old[#old + 1] = ids[i] end
      end
      ids = old
    end
    if #ids > 0 then ask('ZREM', RUNNING .. key, unpack(ids)) end
  end

  -- Returns which lanes of a queue are empty. Mostly none is: then one look at all that waits tells so.
  local function empty_among(queue, keys)
    local empty = {}
    for first = 1, #keys, TOGETHER do
      local last, waiting = math.min(first + TOGETHER - 1, #keys), {}
      for i = first, last do waiting[#waiting + 1] = lanes.waiting_key(queue, keys[i]) end
      if ask('EXISTS', unpack(waiting)) < #waiting then
        for i = first, last do
          if ask('EXISTS', waiting[i - first + 1], RUNNING .. keys[i]) == 0 then empty[#empty + 1] = keys[i] end
        end
      end
    end
    return empty
  end

  -- Leave nothing of those lanes of a queue that are empty.
  local function retire_free(queue, keys)
    local empty = empty_among(queue, keys)
    if #empty == 0 then return end
    ask('HDEL', FREE, unpack(empty))
    ask('SREM', LANES, unpack(empty))
    ask('ZREM', TURNS .. queue, unpack(empty))
  end

  lanes.free_among, lanes.queue_in, lanes.free_for = free_among, queue_in, free_for
  lanes.enter_free, lanes.leave_free, lanes.retire_free = enter_free, leave_free, retire_free
end
