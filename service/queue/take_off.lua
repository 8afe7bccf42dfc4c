-- Take ids of started jobs off Redis. Each stands where its claim has put it: on its queue, or in its first lane, which
-- is placed when the job leaves it. One that is elsewhere by now comes up again, and is removed then.
-- KEYS: the queue's sorted set; `low`. ARGV: the queue; how many ids without lanes; those ids; then for each first lane of
-- the others: itself, how many ids, and those ids. At most 1,000 ids.
local count, belongings = tonumber(ARGV[2]), {}

local function belong(first, last)
  for i = first, last do
    belongings[#belongings + 1] = JOB .. ARGV[i]
    belongings[#belongings + 1] = IN_PROGRESS .. ARGV[i]
  end
end

belong(3, 2 + count)
local i = 3 + count
while i <= #ARGV do
  local last = i + 1 + ARGV[i + 1]
  -- A claim mends what is of another type.
  redis.pcall('ZREM', WAITING .. ARGV[1] .. ',' .. ARGV[i], unpack(ARGV, i + 2, last))
  belong(i + 2, last)
  i = last + 1
end
if count > 0 then
  redis.call('ZREM', KEYS[1], unpack(ARGV, 3, 2 + count))
  redis.call('ZREM', KEYS[2], unpack(ARGV, 3, 2 + count))
end
redis.call('DEL', unpack(belongings))
