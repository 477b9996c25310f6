-- Takes one call from a bucket that fills evenly and holds one minute's calls.
--
--   KEYS  1 bucket hash
--   ARGV  1 now   2 calls a minute
--
-- Returns the seconds until a call can be taken, as text; 0 when it was taken.

local now, full = tonumber(ARGV[1]), math.max(1, tonumber(ARGV[2]))
local rate = tonumber(ARGV[2]) / 60
local calls = tonumber(redis.call('HGET', KEYS[1], 'calls') or full)
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
calls = math.min(full, calls + math.max(0, now - at) * rate)
local wait = 0
if calls >= 1 then
  calls = calls - 1
else
  wait = (1 - calls) / rate
end
redis.call('HSET', KEYS[1], 'calls', string.format('%.6f', calls), 'at', string.format('%.6f', math.max(at, now)))
redis.call('PEXPIRE', KEYS[1], math.ceil(120000 + 60000 / rate))
return string.format('%.6f', wait)
