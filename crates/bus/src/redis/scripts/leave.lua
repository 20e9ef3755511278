-- KEYS: leases, entry. ARGV: what the entry must be.
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
return 1
