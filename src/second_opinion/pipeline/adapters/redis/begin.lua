-- Takes the lease of an unfinished job and moves the job to a stage, counting the attempts at that stage.
--
--   KEYS  1 job hash   2 waiting zset   3 leased zset
--   ARGV  1 job id   2 state   3 owner   4 now   5 until when the lease holds   6 '1' when the worker does nothing else
--         7 channel   8 most characters that progress may have
--
-- Does nothing when the job is finished, when there is none, and when another holds a lease that has not run out.
-- Returns the hash as it now is.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner', 'lease_until', 'alone', 'progress')
local state, owner, lease_until = job[1], job[3], tonumber(job[4] or '0')
if not state or job[2] then
  return redis.call('HGETALL', KEYS[1])
end
if owner and owner ~= '' and owner ~= ARGV[3] then
  if lease_until > tonumber(ARGV[4]) then
    return redis.call('HGETALL', KEYS[1])
  end
  redis.call('HINCRBY', KEYS[1], 'losses', 1)
  if job[5] == '1' then
    redis.call('HINCRBY', KEYS[1], 'lone_losses', 1)
  end
end
if state == ARGV[2] then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
else
  redis.call('HSET', KEYS[1], 'state', ARGV[2], 'attempts', 1)
  local progress = job[6] or ''
  if #progress < tonumber(ARGV[8]) then
    redis.call('HSET', KEYS[1], 'progress', progress .. ARGV[2] .. ' ' .. ARGV[4] .. ' \n')
  end
  redis.call('PUBLISH', ARGV[7], ARGV[1])
end
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'lease_until', ARGV[5], 'alone', ARGV[6], 'next_step', ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
return redis.call('HGETALL', KEYS[1])
