-- Records a queued job, unless its id is taken.
--
--   KEYS  1 job hash   2 submitted zset   3 deadline zset   4 waiting zset
--   ARGV  1 job id   2 submitted_at   3 expires_at   4 milliseconds the hash lives   5.. fields and values
--
-- Returns the hash as it now is: this job's, or that of the job which has the id.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGETALL', KEYS[1])
end
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
return redis.call('HGETALL', KEYS[1])
