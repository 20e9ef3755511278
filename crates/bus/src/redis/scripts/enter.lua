-- KEYS: leases, entry. ARGV: node, connection, life. Gives the entry of another node that counted.
local before = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
if before then
  local node = string.sub(before, 1, 16)
  if node ~= ARGV[1] and lives(node) then
    return before
  end
end
return false
