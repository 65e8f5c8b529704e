#!lua flags=allow-oom
-- Takes one of an agent's slots or renews it. An expired slot is free.
-- KEYS  1 agent_places
-- ARGV  1 holder; 2 number of slots; 3 duration, ms, at most ten minutes
-- Outcomes  ok: held for that duration from now | full: other holders have all slots
local places = KEYS[1]
local holder, n_places, ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- The maximum duration of a slot without a renewal. A time beyond it, with a tolerance for small
-- clock corrections, was written before Redis's clock was set back.
local MAX_PLACE_MS, CLOCK_SLACK_MS = 600000, 60000
ms = math.min(ms, MAX_PLACE_MS)

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
-- Such a slot starts again: if its holder is alive, it renews the slot.
local too_far = '(' .. string.format('%.0f', now + MAX_PLACE_MS + CLOCK_SLACK_MS)
for _, other in ipairs(redis.call('ZRANGEBYSCORE', places, too_far, '+inf')) do
  redis.call('ZADD', places, now + ms, other)
end
if not redis.call('ZSCORE', places, holder) and redis.call('ZCARD', places) >= n_places then return { 'full' } end

redis.call('ZADD', places, now + ms, holder)
-- The key expires with the last of its slots.
if redis.call('PTTL', places) < ms then redis.call('PEXPIRE', places, ms) end
return { 'ok' }
