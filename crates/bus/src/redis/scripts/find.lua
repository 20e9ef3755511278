-- KEYS: leases, entries. Gives each entry that counts.
local found = {}
for i = 2, #KEYS do
  local entry = redis.call('GET', KEYS[i])
  found[i - 1] = entry and lives(string.sub(entry, 1, 16)) and entry
end
return found
