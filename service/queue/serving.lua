-- Claims from lanes: those that may start something are served in turns, each by ids that all their lanes admit.
-- `room` has what a worker may take: held (by lane and kind), lane_share, kind_share, and the kinds that are paused.
local function serving_of(lanes, room, hold, longest, mended)
  local MOST, AGAIN, AROUND = 1000, 250, 60000 -- moves in one call; ms until a running id, or a foreign one, is seen again
  local M = {claimed = {}, left = {}, touched = {}, moves = 0, MOST = MOST}
  local ask, now, jobs, has_low, NONE = lanes.ask, lanes.now, {}, {}, {}
  local held_until = string.format('%.0f', now + hold)

  local function job_of(id)
    if jobs[id] == nil then jobs[id] = lanes.job_of(id) or false end
    return jobs[id]
  end

  local function is_full(it)
    local held = room.held[it.key] or 0
    if lanes.is_kind(it.key) then return room.paused[it.key] or held >= room.kind_share end
    return it.h.share and not it.h.concurrency and held >= room.lane_share
  end

  -- The lane for its kind in which a job must wait, here or everywhere; nil if it need not.
  local function held_back_by(job)
    for _, key in ipairs(lanes.kind_keys(job)) do
      if room.paused[key] or (room.held[key] or 0) >= room.kind_share then return lanes.load(key) end
    end
  end

  function M.holds_back()
    for name, held in pairs(room.held) do
      if lanes.is_kind(name) and held >= room.kind_share then return true end
    end
    for name in pairs(room.paused) do
      if lanes.is_kind(name) then return true end
    end
    return false
  end

  -- Where an id stands once it is claimed: the set in which it was found, if that is its first lane's.
  local function home_of(job, queue, lane, from)
    if job.lanes[1] == lane.key then return from end
    return job.lanes[1] and lanes.waiting_key(queue, job.lanes[1]) or lanes.queue_key(queue)
  end

  local function move(id, queue, from, to, score)
    if from then ask('ZREM', from, id) end
    lanes.wait_in(to, queue, id, score)
    M.moves = M.moves + 1
    M.touched[to.key] = to
  end

  -- Let an id that stands on its queue wait for its kind. A plain arq client looks for its id on the queue.
  function M.move_to_kind(id, queue, job, position)
    move(id, queue, nil, held_back_by(job), now + position / 1000)
    if job.own then
      ask('ZREM', lanes.queue_key(queue), id)
    else
      ask('ZADD', lanes.queue_key(queue), 'XX', now + AROUND, id)
    end
  end

  function M.must_wait(id)
    local job = job_of(id)
    return job and job.kind ~= '' and held_back_by(job) and job
  end

  local function refusing(id, job, visited)
    for i, key in ipairs(job.lanes) do
      local it = lanes.load(key)
      if it ~= visited then
        M.touched[key] = it
        lanes.activate(it) -- an id that waited for its kind comes to lanes that have not heard of the rules
      end
      if job.limits[i] then lanes.hear(it, job.limits[i], id) end
      local at = lanes.open_at(it)
      if not at or at > now or is_full(it) or (it.h.strict and it.h.head and it.h.head ~= id) then return it end
    end
  end

  -- Let an id run in all its lanes; false if it runs in one already.
  local function enter_all(id, job)
    for i = 2, #job.lanes do
      local it = lanes.load(job.lanes[i])
      if it.running ~= 0 and ask('ZSCORE', RUNNING .. it.key, id) then return false end
    end
    for _, key in ipairs(job.lanes) do
      local it = lanes.load(key)
      lanes.activate(it)
      if not lanes.enter(it, id) then return false end
    end
    return true
  end

  -- Mark an id in progress, unless it is by somebody else. Of our own jobs in lanes the running sets say so.
  local function mark(id, job)
    if job.own and job.lanes[1] or redis.call('SET', IN_PROGRESS .. id, '1', 'NX', 'PX', hold) then return true end
    if redis.call('PTTL', IN_PROGRESS .. id) == -1 then redis.call('PEXPIRE', IN_PROGRESS .. id, hold) end
    return false
  end

  -- What is claimed is no longer served as one of negative priority.
  local function leave_low(id, queue)
    if has_low[queue] == nil then has_low[queue] = redis.call('EXISTS', LANE_LOW .. queue) == 1 end
    if has_low[queue] then ask('ZREM', LANE_LOW .. queue, id) end
  end

  local function take(id, number, queue, lane, from, job)
    local strict = NONE
    for _, key in ipairs(job.lanes) do
      room.held[key] = (room.held[key] or 0) + 1
      if lanes.load(key).h.strict then strict = {key, strict[1]} end
    end
    local kind, home = 'kind:' .. job.kind, home_of(job, queue, lane, from)
    room.held[kind] = (room.held[kind] or 0) + 1
    if home ~= from then ask('ZREM', from, id) end
    ask('ZADD', home, held_until, id)
    leave_low(id, queue)
    if job.lanes[1] then lanes.stands_on(lanes.load(job.lanes[1]), queue) end
    M.claimed[#M.claimed + 1] = {number - 1, job.lanes, strict, {id}}
  end

  -- Claim an id that stands in the set `from` of `lane`. Returns 1, or 0 if it has to wait, or nil if the lane has to.
  local function try(id, number, queue, lane, from)
    M.moves = M.moves + 1
    if #id == 0 or #id > longest then
      ask('ZREM', from, id)
      mended[#mended + 1] = {'queue_member_removed', from, string.sub(id, 1, longest)}
      return 0
    end
    local job = job_of(id)
    if not job then -- who knows what limits it; the sweep puts it again
      ask('ZREM', from, id)
      return 0
    end
    if not job.own and not lanes.is_kind(lane.key) then job.lanes = {lane.key} end
    local kind = held_back_by(job)
    if kind then
      if kind == lane then return nil end
      move(id, queue, from, kind, now)
      return 0
    end
    local other = refusing(id, job, lane)
    if other == lane then return nil end
    if other then
      move(id, queue, from, other, now)
      return 0
    end
    if not mark(id, job) then
      ask('ZADD', from, 'XX', held_until, id)
      return 0
    end
    if not enter_all(id, job) then -- its finish is about to be heard, or its claimer died
      if not job.own then redis.call('DEL', IN_PROGRESS .. id) end
      ask('ZADD', from, 'XX', now + AGAIN, id)
      return 0
    end
    take(id, number, queue, lane, from, job)
    return 1
  end

  -- Returns due ids, and the score of the first one behind them, if there is one. To find them by score would have
  -- Redis make room for an answer of any length: that takes it longer than all else here.
  local function first_due_of(from, count)
    local found, ids = ask('ZRANGE', from, 0, count, 'WITHSCORES'), {}
    for i = 1, #found, 2 do
      if #ids == count or tonumber(found[i + 1]) > now then return ids, tonumber(found[i + 1]) end
      ids[#ids + 1] = found[i]
    end
    return ids
  end

  local function candidates(it, from, count)
    if not (it.h.strict and it.h.head) then return first_due_of(from, count) end
    local due = tonumber(ask('ZSCORE', from, it.h.head))
    if due then return due <= now and {it.h.head} or {} end
    if now < (lanes.number(it.h.head_due) or 0) + lanes.LOST_HEAD or lanes.waits(it, it.h.head) then return {} end
    lanes.set(it, 'head', nil)
    return first_due_of(from, count)
  end

  local function visit(it, number, queue, count)
    local from, taken, may_go_on = lanes.waiting_key(queue, it.key), 0, true
    lanes.stands_on(it, queue) -- Redis may have lost what it knew of the lane
    while may_go_on and taken < count and M.moves < MOST do
      local at = lanes.open_at(it)
      if not at or at > now or is_full(it) then break end
      local ids, behind = candidates(it, from, count - taken)
      may_go_on = #ids > 0
      it.behind, it.behind_on = behind, behind and behind <= now and queue -- all before it leave, or move ahead
      for _, id in ipairs(ids) do
        local got = M.moves < MOST and try(id, number, queue, it, from)
        if not got then
          may_go_on, it.behind_on = false, nil
          break
        end
        taken = taken + got
      end
    end
    M.moves = M.moves + 1
    if taken > 0 then it.served_on = queue end
    if is_full(it) then
      M.left[it.key] = true
      M.goes_on = M.goes_on or taken > 0 -- with another worker
    end
    lanes.place(it)
    it.behind_on = nil
    return taken
  end

  -- The kind of an id in a free lane, which is our own; nil if its payload does not say so.
  local function kind_of_own(id) return string.match(ask('GETRANGE', JOB .. id, 0, 255), '^{"t":null,"f":"([^"\\]*)"') end

  -- Whether any of a free lane's kinds may have to wait.
  local function has_minded(told)
    for _, kind in ipairs(room.minded) do
      if string.find(told, ',' .. kind .. ',', 1, true) then return true end
    end
    return room.minds_all
  end

  -- The ids of a free lane in front of the first one that has to be looked at more closely. Where all are of one kind,
  -- `told` says of which.
  local function plain_among(ids, told)
    local plain, minds_kinds = {}, has_minded(told)
    local only = minds_kinds and string.match(told, '^[^,]*,([^,]+),$')
    for i, id in ipairs(ids) do
      if #id == 0 or #id > longest then break end
      if minds_kinds then
        local name = only or kind_of_own(id)
        local kind = name and 'kind:' .. name
        if not kind or room.paused[kind] or (room.held[kind] or 0) >= room.kind_share then break end
        room.held[kind] = (room.held[kind] or 0) + 1
      end
      plain[i] = id
    end
    return plain
  end

  -- Serve a free lane, of which FREE has `told`: all that it is to give, at once.
  local function visit_free(key, told, number, queue, count)
    local from = lanes.waiting_key(queue, key)
    local ids, behind = first_due_of(from, count)
    local plain = plain_among(ids, told)
    local entered = #plain > 0 and lanes.enter_free(key, from, plain, held_until, now + AGAIN) or plain
    if #entered > 0 then M.claimed[#M.claimed + 1] = {number - 1, {key}, NONE, entered} end
    M.moves = M.moves + 1 + #plain
    if #plain < #ids then return #entered + visit(lanes.load(key), number, queue, count - #entered) end
    local again = #entered < #plain and now + AGAIN or tonumber(held_until)
    lanes.go_behind(queue, key, #ids > 0 and math.min(behind or again, again))
    return #entered
  end

  local function ready(queue, turns, count)
    local left, found = 0, {}
    for _ in pairs(M.left) do left = left + 1 end
    for _, key in ipairs(ask('ZRANGEBYSCORE', turns, '-inf', lanes.fine, 'LIMIT', 0, count + left)) do
      if #key == 0 or #key > 4 * 255 then
        ask('ZREM', turns, key)
        mended[#mended + 1] = {'queue_member_removed', turns, string.sub(key, 1, longest)}
      elseif not M.left[key] and #found < count then
        found[#found + 1] = key
      end
    end
    return found
  end

  -- Serve the lanes of a queue: each gets its share, and those with more get what the others leave.
  function M.serve(number, queue, count)
    local taken = 0
    while taken < count and M.moves < MOST do
      lanes.keep_turns()
      local keys = ready(queue, TURNS .. queue, math.min(count - taken, 100))
      if #keys == 0 then break end
      local share, free = math.ceil((count - taken) / #keys), lanes.free_among(keys)
      for _, key in ipairs(keys) do
        if taken >= count or M.moves >= MOST then break end
        local most = math.min(share, count - taken)
        if free[key] and lanes.queue_in(free[key]) == queue and not lanes.is_loaded(key) then
          taken = taken + visit_free(key, free[key], number, queue, most)
        else
          taken = taken + visit(lanes.load(key), number, queue, most)
        end
      end
    end
    return taken
  end

  -- The lane in which an id waits.
  local function lane_of(id, queue)
    local job = #id <= longest and job_of(id)
    if not job then return nil end
    for _, keys in ipairs({job.lanes, lanes.kind_keys(job)}) do
      for _, key in ipairs(keys) do
        local from = lanes.waiting_key(queue, key)
        if ask('ZSCORE', from, id) then return lanes.load(key), from end
      end
    end
  end

  -- Serve ids of negative priority. One that its lanes hold back now waits there like any other.
  function M.serve_low(number, queue, count)
    local low, taken = LANE_LOW .. queue, 0
    while taken < count and M.moves < MOST do
      local ids = ask('ZRANGE', low, 0, count - taken - 1)
      if #ids == 0 then break end
      for _, id in ipairs(ids) do
        ask('ZREM', low, id)
        M.moves = M.moves + 1
        local lane, from = lane_of(id, queue)
        if lane then
          local got = try(id, number, queue, lane, from)
          if not got then ask('ZADD', from, 'XX', now, id) end
          taken = taken + (got or 0)
          M.touched[lane.key] = lane
        end
      end
    end
    return taken
  end

  -- Place the lanes that others than their own visits have changed.
  function M.finish() lanes.place_all(M.touched) end

  return M
end
