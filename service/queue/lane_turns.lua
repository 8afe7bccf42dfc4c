-- When each lane may start something, and whose turn it is. Adds to `lanes`: open_at, waits, place, keep_turns, place_all,
-- come_in_turn, go_behind, wake.
local function add_turns(lanes)
  local LOOK, AWAY_HEAD, FORGET, WAKES = 2000, 10000, 1200000, 4
  local ask, load, set, number, now, fine = lanes.ask, lanes.load, lanes.set, lanes.number, lanes.now, lanes.fine
  local running_in, tokens_of, waiting_key = lanes.running_in, lanes.tokens_of, lanes.waiting_key
  local turns = {} -- by queue and lane: from when it is its turn, or false
  local free_turns = {} -- by queue, of free lanes that were served: again from when, and which; those that have nothing

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

  local function wake(queue, count)
    for _ = 1, math.min(count, WAKES - redis.call('LLEN', WAKE .. queue)) do redis.call('LPUSH', WAKE .. queue, 1) end
  end

  -- Whether an id waits at all: for this lane on any queue, for its other lane, or for its kind.
  local function waits(it, id)
    local job = lanes.job_of(id) or {kind = '', lanes = {}}
    for _, keys in ipairs({{it.key}, lanes.kind_keys(job), job.lanes}) do
      for _, key in ipairs(keys) do
        for queue in pairs(load(key).queues) do
          if ask('ZSCORE', waiting_key(queue, key), id) then return true end
        end
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
    return due or (number(it.h.head_due) or now) + lanes.LOST_HEAD
  end

  -- Remember an order that came with a job. Such a job may wait for its kind, for its other lane or, until it is almost
  -- due, in SQL alone: only the leader can tell whether one does, and forgets the order when none is left.
  local function ms_to_keep_order(it)
    if it.is_over or not (lanes.is_order(it.h.sent) or lanes.is_order(it.h.given)) then return 0 end
    ask('ZADD', IN_ORDER, now, it.key)
    return lanes.KEEP_ORDER
  end

  -- Leave nothing of a lane that holds nothing, once it has nothing more to remember.
  local function retire(it)
    ask('SREM', LANES, it.key)
    lanes.active[it.key] = nil
    local tokens, keep = tokens_of(it), ms_to_keep_order(it)
    if tokens then keep = math.max(keep, math.ceil((number(it.h.rate) - tokens) * number(it.h.per) / number(it.h.rate))) end
    if it.h.failures or it.h.head then keep = math.max(keep, lanes.LONGEST_STEP) end
    if it.h.breaker then keep = math.max(keep, (number(it.h['until']) or now) - now + FORGET) end
    if keep > 0 then
      set(it, 'configured', nil)
      ask('PEXPIRE', LANE .. it.key, math.min(keep, 1e9))
    else
      if it.free then ask('HDEL', FREE, it.key) end
      redis.call('DEL', LANE .. it.key)
      it.h = {}
    end
  end

  local function place(it)
    local opens, waits = open_at(it), false
    for queue in pairs(it.queues) do
      local due = not opens and it.entered and now or first_due(it, queue) -- the release places what has entered now
      if not turns[queue] then turns[queue] = {} end
      turns[queue][it.key] = due and opens and math.max(due, opens) or false
      if due then
        waits = true
      else
        set(it, 'on:' .. queue, nil)
        it.queues[queue] = nil
      end
    end
    if not waits and not it.entered and running_in(it) <= 0 then retire(it) end
  end

  -- Write where the lanes stand that were placed. One that may start something keeps its turn, unless it was just served:
  -- then it goes to the end. With `wakes`, workers are woken for those that may start something sooner than it was known.
  local function keep_turns(wakes)
    for queue, placed in pairs(turns) do
      local key, out, ahead, behind, soon, sooner = TURNS .. queue, {}, {}, {}, {}, 0
      for lane, at in pairs(placed) do
        if not at then
          out[#out + 1] = lane
        else
          local into = at <= now and load(lane).served_on ~= queue and ahead or behind
          into[#into + 1] = math.max(at, fine)
          into[#into + 1] = lane
          if into == behind and at < now + LOOK then
            soon[#soon + 1] = at
            soon[#soon + 1] = lane
          end
        end
      end
      if #out > 0 then ask('ZREM', key, unpack(out)) end
      if #ahead > 0 then sooner = ask('ZADD', key, 'LT', 'CH', unpack(ahead)) end
      if wakes and #soon > 0 then sooner = sooner + ask('ZADD', key, 'LT', 'CH', unpack(soon)) end
      if #behind > 0 then ask('ZADD', key, unpack(behind)) end
      if wakes and sooner > 0 then wake(queue, sooner) end
    end
    for queue, served in pairs(free_turns) do
      if #served.again > 0 then ask('ZADD', TURNS .. queue, unpack(served.again)) end
      if #served.out > 0 then
        ask('ZREM', TURNS .. queue, unpack(served.out))
        lanes.retire_free(queue, served.out)
      end
    end
    turns, free_turns = {}, {}
  end

  -- Let a free lane that was served have its next turn then, behind others; none if nothing waits for it.
  local function go_behind(queue, key, at)
    local served = free_turns[queue] or {again = {}, out = {}}
    free_turns[queue] = served
    if at then
      served.again[#served.again + 1] = math.max(at, fine)
      served.again[#served.again + 1] = key
    else
      served.out[#served.out + 1] = key
    end
  end

  -- Let lanes of a queue have their turns no later than at these times. Those that have them keep them.
  local function come_in_turn(queue, ats)
    local soon, later = {}, {}
    for key, at in pairs(ats) do
      local into = at < now + LOOK and soon or later
      into[#into + 1] = math.max(at, fine)
      into[#into + 1] = key
    end
    if #soon > 0 then wake(queue, ask('ZADD', TURNS .. queue, 'LT', 'CH', unpack(soon))) end
    if #later > 0 then ask('ZADD', TURNS .. queue, 'LT', unpack(later)) end
  end

  -- Place lanes that have changed, and note them among those that hold anything.
  local function place_all(touched, wakes)
    for _, it in pairs(touched) do place(it) end
    keep_turns(wakes)
    local held = {}
    for key in pairs(lanes.active) do held[#held + 1] = key end
    if #held > 0 then ask('SADD', LANES, unpack(held)) end
  end

  lanes.open_at, lanes.waits, lanes.place, lanes.keep_turns = open_at, waits, place, keep_turns
  lanes.place_all, lanes.wake = place_all, wake
  lanes.come_in_turn, lanes.go_behind = come_in_turn, go_behind
end
