-- Lanes: what they hold, when each may start something, and whose turn it is. `keys.py` names the keys.
-- A lane's hash has the limits that hold (concurrency, rate, per, strict, share, paused_until), what jobs and kinds gave
--   (sent, given), the bucket (tokens, tokens_at, built), the breaker, the head of a strict lane, and the queues on which
--   ids wait for it (on:<queue>). `kind:<name>` is a lane for ids whose kind is paused, or has its share of a worker.
-- Whoever changes what a lane holds, or what waits for it, places it: that puts it in turns or takes it out of them.
local function lanes_at(time, mended)
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local fine = time[1] * 1000 + time[2] / 1000 -- what was served in the same ms stands behind
  local LOOK, LOST_HEAD, AWAY_HEAD, FAILURES, STEP, LONGEST_STEP, FORGET = 2000, 2000, 10000, 5, 10000, 600000, 1200000
  -- What `payload_of` writes for a job in one lane. To decode it takes longer than all else that is done for an id.
  local PLAIN = '^{"t":null,"f":"([^"\\]*)","a":%[%],"k":{},"et":%d+,"lanes":%["([^"\\]+)"%],"limits":%["(.-)"%],"postlude":1}$'
  local M, known, patterns, stamp = {now = now, fine = fine, LOST_HEAD = LOST_HEAD}, {}, nil, nil

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
  local function queue_key(queue) return queue == 'default' and QUEUE or QUEUE .. ':' .. queue end
  local function waiting_key(queue, key) return WAITING .. queue .. ',' .. key end

  local function decode(text)
    local is_json, found = pcall(cjson.decode, text)
    return is_json and type(found) == 'table' and found or nil
  end

  local function set(it, name, value)
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
    return it
  end

  local function running_in(it)
    if not it.running then it.running = is_kind(it.key) and 0 or ask('ZCARD', RUNNING .. it.key) end
    return it.running
  end

  -- ---- limits

  -- What users said of a lane, the most specific first. Rules that cannot be read close all lanes.
  local function rules_of(key)
    local found, own = {}, ask('HGET', RULES, key)
    if own then
      found[1] = decode(own)
      if not found[1] then redis.call('DEL', LANES_EPOCH) end
    end
    if patterns == nil then
      local text = ask('GET', PATTERNS)
      patterns = text and decode(text) or {}
      if text and not decode(text) then redis.call('DEL', LANES_EPOCH) end
    end
    if not is_kind(key) then
      for _, rule in ipairs(patterns) do
        if matches(rule.key, key) then found[#found + 1] = rule end
      end
    end
    return found, own and found[1] or nil
  end

  local function begin_breaker(it, own)
    set(it, 'forced', own and own.forced)
    if own and own.forced == 'closed' then
      for _, name in ipairs({'breaker', 'until', 'step', 'reason', 'probe', 'failures'}) do set(it, name, nil) end
    elseif own and own.breaker and not it.h.breaker then
      set(it, 'breaker', own.breaker)
      set(it, 'until', own['until'])
      set(it, 'step', own.step)
      set(it, 'reason', own.reason)
    end
  end

  -- Find the limits that hold, each by itself: the rules', else what was sent with a job, else the kind's.
  local function configure(it)
    local said, own = rules_of(it.key)
    local limits, paused = {}, nil
    local layers = {unpack(said)}
    for _, name in ipairs({'sent', 'given'}) do
      if it.h[name] then layers[#layers + 1] = decode(it.h[name]) end
    end
    for _, layer in ipairs(layers) do
      limits.concurrency = limits.concurrency or layer.concurrency
      limits.strict = limits.strict or layer.strict
      if not limits.rate then limits.rate, limits.per = layer.rate, layer.per end
      if layer.paused_until and (paused ~= -1) then
        paused = layer.paused_until == -1 and -1 or math.max(paused or 0, layer.paused_until)
      end
    end
    set(it, 'concurrency', limits.strict and 1 or limits.concurrency)
    set(it, 'strict', limits.strict and '1' or nil)
    set(it, 'rate', limits.rate)
    set(it, 'per', limits.per)
    set(it, 'paused_until', paused)
    set(it, 'share', it.h.given and '1' or nil)
    set(it, 'configured', '1')
    begin_breaker(it, own)
  end

  -- Hear what a job (s) or its kind (g) gives a lane: of several jobs the youngest counts, and ids grow.
  local function hear(it, given, id)
    local name, text = string.sub(given, 1, 1) == 'g' and 'given' or 'sent', string.sub(given, 2)
    if text == '' or it.h[name] == text or id < (it.h[name .. '_by'] or '') then return end
    set(it, name, text)
    set(it, name .. '_by', id)
    configure(it)
  end

  -- Buckets are empty when lanes are rebuilt, for nobody knows what was started, and full when they are first built.
  local function tokens_of(it)
    local h = it.h
    local limit, per = number(h.rate), number(h.per)
    if not limit or not per or per <= 0 then return nil end
    if stamp == nil then stamp = ask('GET', LANES_BUILT) or '0' end
    local had, at = number(h.tokens), number(h.tokens_at)
    if h.built ~= stamp or not had or not at then had, at = 0, number(stamp) or now end
    if at > now then -- the clock was set back
      at = now
      if h.tokens_at then set(it, 'tokens_at', now) end
    end
    return math.min(limit, had + (now - at) * limit / per)
  end

  local function keep_tokens(it, tokens)
    set(it, 'tokens', tokens)
    set(it, 'tokens_at', now)
    set(it, 'built', stamp)
  end

  -- ---- turns

  -- When a lane may start something: nil if it is held until somebody opens it.
  local function open_at(it)
    local h, at = it.h, now
    local paused = number(h.paused_until)
    if paused == -1 or h.forced == 'open' then return nil end
    if paused then at = math.max(at, paused) end
    if h.breaker and h.forced ~= 'closed' then
      if h.probe and ask('ZSCORE', RUNNING .. it.key, h.probe) then return nil end
      at = math.max(at, number(h['until']) or now)
    end
    local most = h.strict and 1 or number(h.concurrency)
    if most and running_in(it) >= most then return nil end
    local tokens = tokens_of(it)
    if tokens and tokens < 1 - 1e-6 then
      at = math.max(at, now + math.ceil((1 - tokens) * number(h.per) / number(h.rate)))
    end
    if h.strict and h.head then at = math.max(at, number(h.head_due) or now) end
    return at
  end

  local function wake(queue)
    if redis.call('LLEN', WAKE .. queue) < 4 then redis.call('LPUSH', WAKE .. queue, 1) end
  end

  local job_of

  -- Whether an id waits at all: for this lane on any queue, for its other lane, or for its kind.
  local function waits(it, id)
    local job = job_of(id) or {kind = '', lanes = {}}
    for _, key in ipairs({it.key, 'kind:' .. job.kind, unpack(job.lanes)}) do
      for queue in pairs(load(key).queues) do
        if ask('ZSCORE', waiting_key(queue, key), id) then return true end
      end
    end
    return false
  end

  -- When the first id of a queue comes due that the lane may start; nil if none waits.
  local function first_due(it, queue)
    if it.behind_on == queue then return it.behind end
    local waiting = waiting_key(queue, it.key)
    local first = ask('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    if #first == 0 or not (it.h.strict and it.h.head) then return tonumber(first[2]) end
    local due = tonumber(ask('ZSCORE', waiting, it.h.head))
    if not due and waits(it, it.h.head) then return now + AWAY_HEAD end -- mostly its end places the lane before
    -- A head that is nowhere is forgotten after a while: the ledger knows whose turn it is.
    return due or (number(it.h.head_due) or now) + LOST_HEAD
  end

  local function take_turn(it, queue, at, wakes)
    local had = it.served_on ~= queue and tonumber(ask('ZSCORE', TURNS .. queue, it.key))
    if at <= now then
      if had and had <= fine then return end
      at = fine
    end
    ask('ZADD', TURNS .. queue, at, it.key)
    if wakes and at < now + LOOK and (not had or had > at) then wake(queue) end
  end

  -- Leave nothing of a lane that holds nothing, once it has nothing more to remember.
  local function retire(it)
    ask('SREM', LANES, it.key)
    local tokens, keep = tokens_of(it), 0
    if tokens then keep = math.ceil((number(it.h.rate) - tokens) * number(it.h.per) / number(it.h.rate)) end
    if it.h.failures or it.h.head then keep = math.max(keep, LONGEST_STEP) end
    if it.h.breaker then keep = math.max(keep, (number(it.h['until']) or now) - now + FORGET) end
    if keep > 0 then
      ask('PEXPIRE', LANE .. it.key, math.min(keep, 1e9))
    else
      redis.call('DEL', LANE .. it.key)
      it.h = {}
    end
  end

  local function place(it, wakes)
    local opens, waits = open_at(it), false
    for queue in pairs(it.queues) do
      local due = first_due(it, queue)
      if due and opens then
        take_turn(it, queue, math.max(due, opens), wakes)
      else
        ask('ZREM', TURNS .. queue, it.key)
      end
      if due then
        waits = true
      else
        set(it, 'on:' .. queue, nil)
        it.queues[queue] = nil
      end
    end
    if not waits and running_in(it) <= 0 then retire(it) end
  end

  -- ---- who waits, and who runs

  local function activate(it)
    if it.h.configured and next(it.queues) then return end -- something waits already
    if ask('SADD', LANES, it.key) == 1 or not it.h.configured then
      configure(it)
      ask('PERSIST', LANE .. it.key)
    end
  end

  local function wait_in(it, queue, id, score)
    activate(it)
    set(it, 'on:' .. queue, '1')
    it.queues[queue] = true
    return ask('ZADD', waiting_key(queue, it.key), 'NX', score, id)
  end

  -- Let an id run; false if it does already.
  local function enter(it, id)
    if ask('ZADD', RUNNING .. it.key, 'NX', now, id) == 0 then return false end
    it.running = it.running and it.running + 1
    local tokens = tokens_of(it)
    if tokens then keep_tokens(it, tokens - 1) end
    if it.h.breaker and it.h.forced ~= 'closed' then
      set(it, 'breaker', 'half_open')
      set(it, 'probe', id)
    end
    return true
  end

  -- End a claim. Returns whether there was one; nil if there is one that is newer than `latest`.
  local function leave(it, id, latest)
    local since = latest and tonumber(ask('ZSCORE', RUNNING .. it.key, id))
    if since and since > latest then return nil end
    it.running = nil
    return ask('ZREM', RUNNING .. it.key, id) == 1
  end

  local function open_breaker(it, step, ms, reason)
    set(it, 'breaker', 'open')
    set(it, 'step', step)
    set(it, 'until', now + ms)
    set(it, 'reason', reason)
    set(it, 'failures', nil)
    return {it.key, 'open', now + ms, step, reason}
  end

  -- Hear what the end of an attempt says of the lane. While the breaker is open, only its probe's verdict counts.
  local function judge(it, probing, alive, hold, reason)
    local h = it.h
    if h.forced or alive == '' then return nil end
    if hold then
      if h.breaker then hold = math.max(hold, (number(h['until']) or 0) - now) end
      return open_breaker(it, number(h.step) or 0, hold, reason)
    end
    if h.breaker and not probing then return nil end
    if alive == '1' then
      set(it, 'failures', nil)
      if not h.breaker then return nil end
      for _, name in ipairs({'breaker', 'until', 'step', 'reason'}) do set(it, name, nil) end
      return {it.key, 'closed', '', 0, ''}
    end
    local failures, step = (number(h.failures) or 0) + 1, (number(h.step) or 0) + 1
    if h.breaker or failures >= FAILURES then
      return open_breaker(it, step, math.min(LONGEST_STEP, STEP * 2 ^ math.min(step - 1, 10)), reason)
    end
    set(it, 'failures', failures)
    set(it, 'reason', reason)
  end

  local function texts(found)
    local kept = {}
    for i = 1, 2 do
      if type(found) == 'table' and type(found[i]) == 'string' and #found[i] <= 4 * 255 then kept[i] = found[i] end
    end
    return kept
  end

  -- The kind and the lanes of an id; nil without a payload. `own` is false for a plain arq client's.
  function job_of(id)
    local text = redis.pcall('GETRANGE', JOB .. id, 0, 8191)
    if type(text) ~= 'string' or text == '' then return nil end
    local name, lane, given = string.match(text, PLAIN)
    if name then return {own = true, kind = name, lanes = texts({lane}), limits = {(string.gsub(given, '\\"', '"'))}} end
    local found = decode(text)
    if found and found.postlude == 1 then
      return {own = true, kind = tostring(found.f), lanes = texts(found.lanes), limits = texts(found.limits)}
    end
    local kind = found and tostring(found.f) or string.match(text, '"f"%s*:%s*"([^"]*)"') or ''
    return {own = false, kind = string.sub(kind, 1, 100), lanes = {}, limits = {}}
  end

  M.ask, M.number, M.is_kind, M.queue_key, M.waiting_key = ask, number, is_kind, queue_key, waiting_key
  M.load, M.set, M.configure, M.hear, M.open_at, M.place, M.wake = load, set, configure, hear, open_at, place, wake
  M.tokens_of, M.keep_tokens, M.activate, M.wait_in, M.enter, M.leave = tokens_of, keep_tokens, activate, wait_in, enter, leave
  M.judge, M.job_of, M.running_in, M.waits = judge, job_of, running_in, waits
  return M
end
