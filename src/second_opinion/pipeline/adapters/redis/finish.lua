-- Writes the terminal state of a job: once, whoever comes first. Its time to live starts here.
--
--   KEYS  1 job hash   2 submitted zset   3 deadline zset   4 candidates
--   ARGV  1 job id   2 state   3 finished_at   4 time to live in milliseconds   5 channel   6 'result' or 'error' or ''
--         7 its JSON
--
-- Returns 1; 0 when the job was finished already; -1 when there is none.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
if redis.call('HEXISTS', KEYS[1], 'finished_at') == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'finished_at', ARGV[3])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
