-- Writes the terminal state of a job: once, whoever comes first. Its time to live starts here.
--
--   KEYS  1 job hash   2 candidates   3 submitted zset   4 deadline zset   5 waiting zset   6 leased zset
--   ARGV  1 job id   2 state   3 finished_at   4 time to live in milliseconds   5 channel   6 'result' or 'error' or ''
--         7 its JSON   8 owner: when not '', only the holder of the job's lease may finish it
--
-- Returns 1; 0 when the job was finished already, or is another's; -1 when there is none.

local job = redis.call('HMGET', KEYS[1], 'state', 'finished_at', 'owner')
if not job[1] then
  return -1
end
if job[2] or (ARGV[8] ~= '' and job[3] ~= ARGV[8]) then
  return 0
end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'finished_at', ARGV[3], 'owner', '', 'lease_until', '0')
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
for place = 3, 6 do
  redis.call('ZREM', KEYS[place], ARGV[1])
end
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
