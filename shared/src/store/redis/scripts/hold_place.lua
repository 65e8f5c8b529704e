#!lua flags=allow-oom
-- Takes one of an agent's places, or keeps it for longer. A place whose time is over is free.
-- KEYS  1 agent_places
-- ARGV  1 holder; 2 how many places there are; 3 for how long, ms
-- Outcomes  ok: held from now on for that long | full: all places are held by others
local places = KEYS[1]
local holder, n_places, ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- As long as the longest delay of an issue, and a minute for small corrections of the clock.
local MAX_PLACE_MS = 660000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
-- A place that lasts for longer than any may was held before Redis's clock was set back: its time runs from now on.
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', places, now + MAX_PLACE_MS, '+inf')) do
  redis.call('ZADD', places, now + ms, ahead)
end
if not redis.call('ZSCORE', places, holder) and redis.call('ZCARD', places) >= n_places then return { 'full' } end

redis.call('ZADD', places, now + ms, holder)
-- The key lasts as long as the last of its places.
if redis.call('PTTL', places) < ms then redis.call('PEXPIRE', places, ms) end
return { 'ok' }
