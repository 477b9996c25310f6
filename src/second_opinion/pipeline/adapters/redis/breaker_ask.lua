-- Asks whether a reranker may be called. An open breaker that has cooled down lets one call through as a probe, and the
-- next one after another cool-down.
--
--   KEYS  1 breaker hash
--   ARGV  1 now   2 failures in a row that open it   3 cool-down in seconds
--
-- Returns the seconds until a call may be made, as text; 0 when it may be made now.

local failures = tonumber(redis.call('HGET', KEYS[1], 'failures') or '0')
if failures < tonumber(ARGV[2]) then
  return '0'
end
local now = tonumber(ARGV[1])
local retry_at = tonumber(redis.call('HGET', KEYS[1], 'retry_at') or '0')
-- A moment further away than a whole cool-down was written by a clock that is wrong.
if now >= retry_at or retry_at > now + tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'retry_at', string.format('%.6f', now + tonumber(ARGV[3])))
  return '0'
end
return string.format('%.6f', retry_at - now)
