-- Before each script: the time in milliseconds by the server's clock, and whether a node's lease lives. KEYS[1] holds the leases.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function at(time)
  return string.format('%.0f', time)
end

local known = {}
local function lives(node)
  if known[node] == nil then
    local ends = redis.call('ZSCORE', KEYS[1], node)
    known[node] = (ends and tonumber(ends) > now) or false
  end
  return known[node]
end

