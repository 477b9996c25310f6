-- Gives a job's lease back; from then on the job waits for the message of its next step.
--
--   KEYS  1 job hash   2 waiting zset   3 leased zset
--   ARGV  1 job id   2 owner   3 next step   4 due: when its message is in a queue   5 '1' when it goes back to `queued`
--         6 '1' when the owner leaves candidates   7 now   8 how many candidates, or ''   9 channel
--         10 most characters that progress may have
--
-- Returns 1; 0 when the job is finished or another's; -1 when there is none.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner', 'progress')
if not job[1] then
  return -1
end
if job[2] or job[3] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'lease_until', '0', 'next_step', ARGV[3])
local state = job[1]
if ARGV[5] == '1' then
  state = 'queued'
  redis.call('HSET', KEYS[1], 'state', 'queued')
end
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'handed_over_by', ARGV[2])
end
local progress = job[4] or ''
if #progress < tonumber(ARGV[10]) then
  redis.call('HSET', KEYS[1], 'progress', progress .. state .. ' ' .. ARGV[7] .. ' ' .. ARGV[8] .. '\n')
end
redis.call('PUBLISH', ARGV[9], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return 1
