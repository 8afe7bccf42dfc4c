-- Take ids of started jobs off Redis. Each stands where its claim has put it: on its queue, or in its first lane, which
-- is placed when the job leaves it. One that is elsewhere by now comes up again, and is removed then.
-- KEYS: the queue's sorted set; `low`. ARGV: the queue; how many ids without lanes; those ids; then for each of the
--   others its first lane and itself. At most 1,000 ids.
local count, belongings = tonumber(ARGV[2]), {}

local function belongs(id)
  belongings[#belongings + 1] = JOB .. id
  belongings[#belongings + 1] = IN_PROGRESS .. id
end

for i = 3, 2 + count do belongs(ARGV[i]) end
for i = 3 + count, #ARGV, 2 do
  redis.pcall('ZREM', WAITING .. ARGV[1] .. ',' .. ARGV[i], ARGV[i + 1]) -- a claim mends what is of another type
  belongs(ARGV[i + 1])
end
if count > 0 then
  redis.call('ZREM', KEYS[1], unpack(ARGV, 3, 2 + count))
  redis.call('ZREM', KEYS[2], unpack(ARGV, 3, 2 + count))
end
redis.call('DEL', unpack(belongings))
