-- Renews the lease of whoever still holds it, run out or not: nobody has taken the job over.
--
--   KEYS  1 job hash   2 leased zset
--   ARGV  1 job id   2 owner   3 until when the lease holds
--
-- Returns the hash as it now is.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner')
if job[1] and not job[2] and job[3] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'lease_until', ARGV[3])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
return redis.call('HGETALL', KEYS[1])
