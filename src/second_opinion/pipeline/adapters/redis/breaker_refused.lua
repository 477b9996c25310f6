-- Remembers a refusal. It is an answer, so failures before it are forgotten.
--
--   KEYS  1 breaker hash
--   ARGV  1 what was said   2 milliseconds to live

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'refusal', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
