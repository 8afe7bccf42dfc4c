-- Find ids that wait nowhere: not for their lanes, nor for their kinds; those in lanes on their queues, while arq's own
-- worker is at work.
-- ARGV: for each id its queue, itself, its kind, its label and its lanes, '' for none. Returns places of ids, from 0.
local absent, past_lanes = {}, redis.call('EXISTS', STOCK_WORKER) == 1

local function waits_for(queue, key, id) return redis.call('ZSCORE', WAITING .. queue .. ',' .. key, id) end

for i = 1, #ARGV, 6 do
  local queue, id, kind, label, first, second = unpack(ARGV, i, i + 5)
  local stands
  if past_lanes and first ~= '' then
    stands = redis.call('ZSCORE', queue == 'default' and QUEUE or QUEUE .. ':' .. queue, id)
  else
    stands = first ~= '' and waits_for(queue, first, id) or second ~= '' and waits_for(queue, second, id)
      or waits_for(queue, 'kind:' .. kind, id) or label ~= '' and waits_for(queue, 'kind:' .. label, id)
  end
  if not stands then absent[#absent + 1] = (i - 1) / 6 end
end
return absent
