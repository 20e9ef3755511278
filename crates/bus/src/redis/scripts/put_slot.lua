-- KEYS: leases, ends of all sides, side. ARGV: name of the side, data, life, most. Gives 0 when it is kept, 1 when it was filled, 2 when
-- there are too many.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at(now))
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 1
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then
  return 2
end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], at(now + ARGV[3]), ARGV[1])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 0
