-- KEYS: leases, where this node is noted, where the others are. ARGV: node, whether, life. Gives the others that count.
if ARGV[2] == '1' then
  redis.call('ZADD', KEYS[2], at(now + ARGV[3]), ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at(now))
local others = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. at(now), '+inf')) do
  if node ~= ARGV[1] and lives(node) then
    others[#others + 1] = node
  end
end
return others
