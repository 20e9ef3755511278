-- KEYS: leases, entries. ARGV: node, life, then a connection for each entry. Gives the numbers, from 1, of the entries that other nodes keep.
-- Connections have a fixed width, so they compare as texts like the numbers that they are, which a Lua number could not hold.
local kept = {}
for i = 2, #KEYS do
  local entry = redis.call('GET', KEYS[i])
  local node = entry and string.sub(entry, 1, 16)
  local mine = ARGV[1] .. ':' .. ARGV[i + 1]
  if entry and node ~= ARGV[1] and lives(node) then
    kept[#kept + 1] = i - 1
  elseif not (entry and node == ARGV[1] and entry > mine and lives(node)) then
    redis.call('SET', KEYS[i], mine, 'PX', ARGV[2])
  end
end
return kept
