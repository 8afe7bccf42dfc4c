-- Take ids off a queue for good, with all that belongs to them.
-- KEYS: the queue's sorted set; `low`. ARGV: prefixes of the payloads' and the in-progress keys; then the ids.
for i = 3, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('DEL', ARGV[1] .. ARGV[i], ARGV[2] .. ARGV[i])
end
