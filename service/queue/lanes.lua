-- Lanes: what they hold. `keys.py` names the keys; `lane_limits.lua` knows which limits hold, `lane_breakers.lua` hears
-- of failures, and `lane_turns.lua` decides when each lane may start something. `lane_free.lua` is for those that nothing
-- limits; all others are bound.
-- A lane's hash has the limits that hold (concurrency, rate, per, strict, share, paused_until, and longest: for how many
--   ms its breaker may pause it), what jobs and kinds gave
--   (sent, given), the bucket (tokens, tokens_at, built), the breaker, the head of a strict lane, and the queues on which
--   ids wait for it (on:<queue>). `kind:<name>` is a lane for ids whose kind is paused, or has its share of a worker.
-- Whoever changes what a lane holds, or what waits for it, places it: that puts it in turns or takes it out of them.
local function lanes_at(time, mended)
  -- What `payload_of` writes for a job in one lane. To decode it takes longer than all else that is done for an id.
  local PLAIN = '^{"t":null,"f":"([^"\\]*)","a":%[%],"k":{},"et":%d+,(.-)"lanes":%["([^"\\]+)"%],"limits":%["(.-)"%],"postlude":1}$'
  local LABEL = '^"label":"([^"\\]*)",$'
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local M, known = {now = now, LOST_HEAD = 2000, LONGEST_STEP = 600000, KEEP_ORDER = 600000}, {}
  M.fine = time[1] * 1000 + time[2] / 1000 -- what was served in the same ms stands behind
  M.this_claim = now - 1 + (time[2] % 1000 + 1) / 1000 -- `now` when rounded up, and no other claim of the same ms
  M.active = {} -- lanes of which it is to be known that they hold something

  -- Nobody knows what was in a key of another type. It is kept, and lanes are closed until they are rebuilt.
  local function ask(command, key, ...)
    local found = redis.pcall(command, key, ...)
    if type(found) ~= 'table' or not found.err then return found end
    if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
    local aside = PARKED .. key .. ':' .. now
    redis.call('RENAME', key, aside)
    redis.call('DEL', LANES_EPOCH)
    mended[#mended + 1] = {'queue_key_parked', key, aside}
    return redis.call(command, key, ...)
  end

  local function number(text)
    local found = tonumber(text)
    if found and found == found and math.abs(found) < 1e15 then return found end
  end

  local function is_kind(key) return string.sub(key, 1, 5) == 'kind:' end

  local function decode(text)
    local is_json, found = pcall(cjson.decode, text)
    return is_json and type(found) == 'table' and found or nil
  end

  -- Keep a hash of a lane from now on.
  local function bind(it)
    local queue = it.free
    it.free = nil
    ask('HDEL', FREE, it.key)
    M.set(it, 'on:' .. queue, '1')
  end

  local function set(it, name, value)
    if value ~= nil and it.free then bind(it) end
    if value == nil then
      if it.h[name] ~= nil then ask('HDEL', LANE .. it.key, name) end
    else
      value = type(value) == 'number' and string.format('%.17g', value) or value
      if it.h[name] ~= value then ask('HSET', LANE .. it.key, name, value) end
    end
    it.h[name] = value
  end

  local function load(key)
    local it = known[key]
    if it then return it end
    it = {key = key, h = {}, queues = {}}
    known[key] = it
    local flat = ask('HGETALL', LANE .. key)
    for i = 1, #flat, 2 do
      it.h[flat[i]] = flat[i + 1]
      if string.sub(flat[i], 1, 3) == 'on:' then it.queues[string.sub(flat[i], 4)] = true end
    end
    local told = #flat == 0 and not is_kind(key) and ask('HGET', FREE, key)
    if told then
      it.free = M.queue_in(told)
      it.queues[it.free] = true
    end
    return it
  end

  local function running_in(it)
    if not it.running then it.running = is_kind(it.key) and 0 or ask('ZCARD', RUNNING .. it.key) end
    return it.running
  end

  M.ask, M.number, M.is_kind, M.decode, M.set, M.load, M.running_in = ask, number, is_kind, decode, set, load, running_in
  function M.is_loaded(key) return known[key] ~= nil end
  function M.queue_key(queue) return queue == 'default' and QUEUE or QUEUE .. ':' .. queue end
  function M.waiting_key(queue, key) return WAITING .. queue .. ',' .. key end
  add_free(M)
  add_limits(M)
  add_breakers(M)
  add_turns(M)

  -- ---- who waits, and who runs

  -- Let a lane hear of the rules before it holds something again.
  function M.activate(it)
    M.active[it.key] = true
    if it.h.configured then return end
    if it.free then bind(it) end
    M.configure(it)
  end

  function M.stands_on(it, queue)
    M.activate(it)
    if it.queues[queue] then return end
    set(it, 'on:' .. queue, '1')
    it.queues[queue] = true
  end

  -- Let an id wait; false if it does already.
  function M.wait_in(it, queue, id, score)
    M.stands_on(it, queue)
    return ask('ZADD', M.waiting_key(queue, it.key), 'NX', score, id) == 1
  end

  -- Let an id run; false if it does already.
  function M.enter(it, id)
    if ask('ZADD', RUNNING .. it.key, 'NX', now, id) == 0 then return false end
    it.entered = true
    it.running = it.running and it.running + 1
    local tokens = M.tokens_of(it)
    if tokens then M.keep_tokens(it, tokens - 1) end
    if it.h.breaker and it.h.forced ~= 'closed' then
      set(it, 'breaker', 'half_open')
      set(it, 'probe', id)
    end
    return true
  end

  -- End a claim. Returns whether there was one; nil if there is one that is newer than `latest`.
  function M.leave(it, id, latest)
    local since = latest and tonumber(ask('ZSCORE', RUNNING .. it.key, id))
    if since and since > latest then return nil end
    if latest and not since then return false end
    it.running = nil
    return ask('ZREM', RUNNING .. it.key, id) == 1
  end

  local function texts(found)
    local kept = {}
    for i = 1, 2 do
      if type(found) == 'table' and type(found[i]) == 'string' and #found[i] <= 4 * 255 then kept[i] = found[i] end
    end
    return kept
  end

  -- The lanes for a job's kind, in one of which it waits while that is held back: of its label, then of its kind.
  function M.kind_keys(job)
    if not job.kind_keys then
      job.kind_keys = job.label and {'kind:' .. job.label, 'kind:' .. job.kind} or {'kind:' .. job.kind}
    end
    return job.kind_keys
  end

  -- The kind, the label and the lanes of an id; nil without a payload. `own` is false for a plain arq client's.
  function M.job_of(id)
    local text = redis.pcall('GETRANGE', JOB .. id, 0, 8191)
    if type(text) ~= 'string' or text == '' then return nil end
    local name, more, lane, given = string.match(text, PLAIN)
    local label = name and more ~= '' and string.match(more, LABEL) or nil
    if name and (more == '' or label) then
      if given ~= '' then given = string.gsub(given, '\\"', '"') end
      return {own = true, kind = name, label = label, lanes = texts({lane}), limits = {given}}
    end
    local found = decode(text)
    if found and found.postlude == 1 then
      local named = type(found.label) == 'string' and found.label or nil
      return {own = true, kind = tostring(found.f), label = named, lanes = texts(found.lanes), limits = texts(found.limits)}
    end
    local kind = found and tostring(found.f) or string.match(text, '"f"%s*:%s*"([^"]*)"') or ''
    return {own = false, kind = string.sub(kind, 1, 100), lanes = {}, limits = {}}
  end

  return M
end
