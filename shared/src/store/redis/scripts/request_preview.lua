#!lua
-- Puts a preview request on the list, unless as many wait there as may.
-- KEYS  1 previews
-- ARGV  1 the request; 2 the most that may wait
-- Outcomes  ok | full
local previews, request, most = KEYS[1], ARGV[1], tonumber(ARGV[2])

if redis.call('LLEN', previews) >= most then return { 'full' } end

redis.call('LPUSH', previews, request)
return { 'ok' }
