-- Takes what keys have used up off their buckets, which fill evenly; one may go below nothing, and is owed then.
--
--   KEYS  a bucket hash each
--   ARGV  1 now   2 requests a second   3 most that a bucket holds   4... what each key has used up
--
-- Returns what is left of each, as text.

local now, rate, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = {}
for place, key in ipairs(KEYS) do
  local tokens = tonumber(redis.call('HGET', key, 'tokens') or room)
  local at = tonumber(redis.call('HGET', key, 'at') or now)
  tokens = math.min(room, tokens + math.max(0, now - at) * rate) - tonumber(ARGV[3 + place])
  redis.call('HSET', key, 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', math.max(at, now)))
  redis.call('PEXPIRE', key, math.ceil((room - tokens) / rate * 1000) + 60000)
  left[place] = string.format('%.6f', tokens)
end
return left
