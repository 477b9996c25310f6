-- Renews the lease of whoever still holds it, run out or not: nobody has taken the job over.
--
--   KEYS  1 job hash   2 leased zset
--   ARGV  1 job id   2 owner   3 until when the lease holds
--
-- Returns 1; 0 when the job is finished or another's; -1 when there is none.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner')
if not job[1] then
  return -1
end
if job[2] or job[3] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'lease_until', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
