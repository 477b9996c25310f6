-- Marks a job as waiting from now on, so that of many who find it abandoned one sends its message.
--
--   KEYS  1 job hash   2 waiting zset   3 leased zset
--   ARGV  1 job id   2 now   3 a job that waits is marked only if it was due before this
--
-- Returns 1; 0 when there is nothing to do; -1 when there is no such job.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner', 'lease_until', 'alone')
if not job[1] or job[2] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return job[1] and 0 or -1
end
if job[3] and job[3] ~= '' then
  if tonumber(job[4]) > tonumber(ARGV[2]) then
    return 0
  end
  redis.call('HINCRBY', KEYS[1], 'losses', 1)
  if job[5] == '1' then
    redis.call('HINCRBY', KEYS[1], 'lone_losses', 1)
  end
  redis.call('HSET', KEYS[1], 'owner', '', 'lease_until', '0')
else
  local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if due and tonumber(due) >= tonumber(ARGV[3]) then
    return 0
  end
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
