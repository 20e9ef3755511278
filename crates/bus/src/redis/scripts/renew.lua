-- KEYS: leases. ARGV: node, life. Gives whether the lease lived, then the others whose leases do.
local held = lives(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at(now))
local nodes = redis.call('ZRANGE', KEYS[1], 0, -1)
redis.call('ZADD', KEYS[1], at(now + ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { held and 1 or 0, nodes }
