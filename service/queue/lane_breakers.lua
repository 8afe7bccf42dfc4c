-- The breaker of a lane: closed, open, or half open while one job tries. Adds to `lanes`: begin_breaker, judge.
local function add_breakers(lanes)
  local FAILURES, STEP, LONGEST_STEP = 5, 10000, lanes.LONGEST_STEP
  local set, number, now = lanes.set, lanes.number, lanes.now

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

  local function open_breaker(it, step, ms, reason)
    ms = math.min(ms, number(it.h.longest) or ms)
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

  lanes.begin_breaker, lanes.judge = begin_breaker, judge
end
