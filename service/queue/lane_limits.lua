-- Which limits hold for a lane, each by itself, and how many starts its rate allows. Adds to `lanes`: is_ruled, configure,
-- is_order, hear, tokens_of, keep_tokens.
local function add_limits(lanes)
  local ask, set, number, is_kind, decode, now = lanes.ask, lanes.set, lanes.number, lanes.is_kind, lanes.decode, lanes.now
  local patterns, stamp

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

  local function is_ruled(key) return #rules_of(key) > 0 end

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
      limits.longest = limits.longest or layer.longest
      if layer.paused_until and (paused ~= -1) then
        paused = layer.paused_until == -1 and -1 or math.max(paused or 0, layer.paused_until)
      end
    end
    set(it, 'concurrency', limits.strict and 1 or limits.concurrency)
    set(it, 'strict', limits.strict and '1' or nil)
    set(it, 'rate', limits.rate)
    set(it, 'per', limits.per)
    set(it, 'longest', limits.longest)
    set(it, 'paused_until', paused)
    set(it, 'share', it.h.given and '1' or nil)
    lanes.begin_breaker(it, own)
    if it.free then return end
    if not it.h.configured then ask('PERSIST', LANE .. it.key) end
    set(it, 'configured', '1')
  end

  -- Whether what a job or its kind gives a lane says that its order is strict.
  local function is_order(given) return given and string.find(given, '"strict":true', 1, true) and true or false end

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

  lanes.is_ruled, lanes.configure, lanes.is_order, lanes.hear = is_ruled, configure, is_order, hear
  lanes.tokens_of, lanes.keep_tokens = tokens_of, keep_tokens
end
