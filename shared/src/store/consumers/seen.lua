#!lua
-- Notes that consumers with a report have an open stream, so that their reports are kept.
-- KEYS  1 consumers; 2 consumers_seen; 3 consumed
-- ARGV  1 blueprint_id; 2 lifetime ms; then the ids of consumers
-- Outcomes  seen: the number of consumers with a report
local consumers, seen, consumed = KEYS[1], KEYS[2], KEYS[3]
local bp, lifetime = ARGV[1], ARGV[2]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at, n = string.format('%.0f', now), 0

for i = 3, #ARGV do
  -- A report that is too old stays forgotten.
  local last_seen = tonumber(redis.call('ZSCORE', seen, ARGV[i]) or 0)
  if last_seen > now - tonumber(lifetime) then
    redis.call('ZADD', seen, at, ARGV[i])
    n = n + 1
  end
end
if n > 0 then
  redis.call('ZADD', consumed, at, bp)
  for _, key in ipairs({ consumers, seen, consumed }) do redis.call('PEXPIRE', key, lifetime) end
end
return { 'seen', n }
