-- Take ids off a queue for good, with all that belongs to them.
-- KEYS: the queue's sorted set; `low`. ARGV: prefixes of the payloads' and the in-progress keys; then 1 to 1,000 ids.
local belongings = {}
for i = 3, #ARGV do
  belongings[#belongings + 1] = ARGV[1] .. ARGV[i]
  belongings[#belongings + 1] = ARGV[2] .. ARGV[i]
end
redis.call('ZREM', KEYS[1], unpack(ARGV, 3))
redis.call('ZREM', KEYS[2], unpack(ARGV, 3))
redis.call('DEL', unpack(belongings))
