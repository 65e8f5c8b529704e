#!lua
-- Keeps the report of a consumer, and forgets the reports that are too old.
-- KEYS  1 blueprint; 2 newest; 3 channels; 4 consumers; 5 consumers_seen; 6 consumed
-- ARGV  1 blueprint_id; 2 consumer_id; 3 channel or ''; 4 version; 5 status;
--       6 report without since; 7 lifetime ms; 8 maximum number of consumers
-- Outcomes  reported | unknown | unknown_channel | unknown_version | too_many
local blueprint, newest, channels, consumers, seen, consumed = unpack(KEYS)
local bp, id, channel, version, status, report, lifetime, most = unpack(ARGV)
local FORGOTTEN_AT_ONCE = '1000'
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at, cutoff = string.format('%.0f', now), string.format('(%.0f', now - tonumber(lifetime))

if redis.call('HEXISTS', blueprint, 'seq') == 0 then return { 'unknown' } end
if channel ~= '' and redis.call('HEXISTS', channels, channel) == 0 then return { 'unknown_channel' } end
if redis.call('HEXISTS', newest, version) == 0 then return { 'unknown_version' } end
local last_seen = tonumber(redis.call('ZSCORE', seen, id) or 0)
local known = last_seen > now - tonumber(lifetime) and redis.call('HGET', consumers, id)
if not known and redis.call('ZCOUNT', seen, cutoff, '+inf') >= tonumber(most) then return { 'too_many' } end

local since, before = at, known and cjson.decode(known)
if before and before.channel == channel and before.version == version and before.status == status then
  since = string.format('%.0f', before.since)
end
local old = redis.call('ZRANGE', seen, '-inf', string.sub(cutoff, 2), 'BYSCORE', 'LIMIT', '0', FORGOTTEN_AT_ONCE)
if old[1] then
  redis.call('HDEL', consumers, unpack(old))
  redis.call('ZREM', seen, unpack(old))
end
redis.call('HSET', consumers, id, '{"since":' .. since .. ',' .. string.sub(report, 2))
redis.call('ZADD', seen, at, id)
redis.call('ZREMRANGEBYSCORE', consumed, '-inf', string.sub(cutoff, 2))
redis.call('ZADD', consumed, at, bp)
for _, key in ipairs({ consumers, seen, consumed }) do redis.call('PEXPIRE', key, lifetime) end
return { 'reported' }
