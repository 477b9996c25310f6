-- Adds to what a reranker has cost on a day.
--
--   KEYS  1 hash of the day
--   ARGV  1 seconds to live   2.. fields and what is added to each

for i = 2, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
