-- Moves an unfinished job to another state and counts the attempts at that state.
--
--   KEYS  1 job hash
--   ARGV  1 state
--
-- Returns 1; 0 when the job is finished; -1 when there is none.

local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return -1
end
if redis.call('HEXISTS', KEYS[1], 'finished_at') == 1 then
  return 0
end
if state == ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
else
  redis.call('HSET', KEYS[1], 'state', ARGV[1], 'attempts', 1)
end
return 1
