-- Keeps the raw scores of one query, and forgets the oldest queries when there are more scores than may be kept.
--
--   KEYS  1 score hash   2 recent zset   3 sizes hash
--   ARGV  1 milliseconds that scores live   2 most scores of all queries together   3.. fields and values
--
-- `recent` has each score hash by the moment it was begun, `sizes` how many scores are in it and `total` for all.
-- Returns how many score hashes were forgotten.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local function forget(key)
  redis.call('UNLINK', key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('HINCRBY', KEYS[3], 'total', -tonumber(redis.call('HGET', KEYS[3], key) or '0'))
  redis.call('HDEL', KEYS[3], key)
end

-- A cache may lose keys: without its index, what the sizes say is of nothing that could be forgotten.
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[3])
end

local forgotten = 0
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ttl, 'LIMIT', 0, 100)) do
  forget(key)
  forgotten = forgotten + 1
end

local added = 0
for i = 3, #ARGV, 2 do
  added = added + redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
-- Scores live from when the first of the query was kept, so that no query's hash grows for ever.
if redis.call('ZADD', KEYS[2], 'NX', now, KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
redis.call('HINCRBY', KEYS[3], KEYS[1], added)
local total = redis.call('HINCRBY', KEYS[3], 'total', added)

while total > limit do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not oldest then
    break
  end
  forget(oldest)
  forgotten = forgotten + 1
  total = tonumber(redis.call('HGET', KEYS[3], 'total'))
end
-- The bookkeeping of a cache that is not used any more goes as well.
redis.call('PEXPIRE', KEYS[2], 2 * ttl)
redis.call('PEXPIRE', KEYS[3], 2 * ttl)
return forgotten
