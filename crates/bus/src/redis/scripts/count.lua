-- KEYS: leases, times. ARGV: limit, period. Gives 0 when the event was counted, otherwise the time until one would be.
-- A time that lies ahead was written before the clock was set back; it counts no more.
local limit, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local oldest = tonumber(redis.call('LINDEX', KEYS[2], 0) or nil)
while oldest and (oldest + period <= now or oldest > now) do
  redis.call('LPOP', KEYS[2])
  oldest = tonumber(redis.call('LINDEX', KEYS[2], 0) or nil)
end
if oldest and redis.call('LLEN', KEYS[2]) >= limit then
  return oldest + period - now
end
redis.call('RPUSH', KEYS[2], at(now))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 0
