-- Counts a failure; enough of them in a row open the breaker.
--
--   KEYS  1 breaker hash
--   ARGV  1 now   2 failures in a row that open it   3 cool-down in seconds   4 milliseconds to live
--
-- Returns the failures in a row.

redis.call('HDEL', KEYS[1], 'refusal')
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
if failures >= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'retry_at', string.format('%.6f', tonumber(ARGV[1]) + tonumber(ARGV[3])))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return failures
