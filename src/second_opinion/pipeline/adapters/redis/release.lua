-- Gives a job's lease back; from then on the job waits for the message of its next step.
--
--   KEYS  1 job hash   2 waiting zset   3 leased zset
--   ARGV  1 job id   2 owner   3 next step   4 due: when its message is in a queue   5 '1' when it goes back to `queued`
--         6 '1' when the owner leaves candidates
--
-- Returns 1; 0 when the job is finished or another's; -1 when there is none.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner')
if not job[1] then
  return -1
end
if job[2] or job[3] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'lease_until', '0', 'next_step', ARGV[3])
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'state', 'queued')
end
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'handed_over_by', ARGV[2])
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return 1
