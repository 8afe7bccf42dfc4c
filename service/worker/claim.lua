-- Take up to ARGV[1] due ids off the head of the sorted set KEYS[1], by Redis' own clock.
-- Each is moved ARGV[2] ms ahead, so that a held id never blocks the head, and is marked in progress (prefix
-- ARGV[3]) for as long. Returns those that nobody else holds.
redis.replicate_commands() -- Redis 6 wants this before a script that reads the clock may write
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local claimed = {}
for i = 1, #due do
  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], due[i])
  if redis.call('SET', ARGV[3] .. due[i], '1', 'NX', 'PX', ARGV[2]) then
    claimed[#claimed + 1] = due[i]
  end
end
return claimed
