-- Tell the state of lanes. ARGV: lanes. Returns for each: its hash; how many run, and wait; when it may start something
-- and how many starts its rate allows now, both '' for none.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
local lanes, told = lanes_at(redis.call('TIME'), {}), {}
for i, key in ipairs(ARGV) do
  local it, flat, waiting = lanes.load(key), {}, 0
  for queue in pairs(it.queues) do waiting = waiting + lanes.ask('ZCARD', lanes.waiting_key(queue, key)) end
  for name, value in pairs(it.h) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  local opens, tokens = lanes.open_at(it), lanes.tokens_of(it)
  told[i] = {flat, lanes.running_in(it), waiting, opens or '', tokens and string.format('%.3f', tokens) or ''}
end
return told
