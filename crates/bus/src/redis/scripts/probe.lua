-- KEYS: leases, a key of nobody. Does once all that the other scripts do: what this user may not do shows here, with its name.
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err then
    error({ err = 'NOPERM +' .. string.lower(command) .. ' on ' .. (...) .. ': ' .. answer.err })
  end
end

try('ZSCORE', KEYS[1], '')
try('DEL', KEYS[2])
try('ZADD', KEYS[2], 1, 'a')
try('ZCARD', KEYS[2])
try('ZRANGE', KEYS[2], 0, -1)
try('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf')
try('ZREMRANGEBYSCORE', KEYS[2], '-inf', '+inf')
try('ZREM', KEYS[2], 'a')
try('RPUSH', KEYS[2], 'a')
try('LINDEX', KEYS[2], 0)
try('LLEN', KEYS[2])
try('LPOP', KEYS[2])
try('SET', KEYS[2], 'a', 'PX', 1000)
try('GET', KEYS[2])
try('EXISTS', KEYS[2])
try('PTTL', KEYS[2])
try('PEXPIRE', KEYS[2], 1000)
return redis.call('DEL', KEYS[2])
