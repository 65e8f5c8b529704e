#!lua
-- Deletes a channel, unless a setting follows it. Its revision and its moves remain, and a new
-- channel with its name continues from them.
-- KEYS  1 blueprint; 2 channels; 3 channel_revisions; 4 channel_moves; 5 orbits
-- ARGV  1 blueprint_id; 2 channel; 3 expected revision or '';
--       4 move: without versions, seq, revision and at
-- Outcomes  deleted | unknown | archived | unknown_channel | channel_moved: revision
--   in_use: names of settings
--@include heads
local blueprint, channels, revisions, moves, orbits = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local bp, channel, expected, move = unpack(ARGV)

local head = redis.call('HMGET', blueprint, 'seq', 'archived')
if not head[1] then return { 'unknown' } end
if head[2] == '1' then return { 'archived' } end
local stored = redis.call('HGET', channels, channel)
if not stored then return { 'unknown_channel' } end
local revision = redis.call('HGET', revisions, channel)
if expected ~= '' and expected ~= revision then return { 'channel_moved', tonumber(revision) } end
-- Without the suffix of a setting that is about to be written.
local settings, named = {}, redis.call('HGETALL', orbits)
for i = 1, #named, 2 do
  if named[i + 1] == bp .. ' ' .. channel .. ' pinned' then table.insert(settings, (string.match(named[i], '^%S+'))) end
end
table.sort(settings)
if settings[1] then return { 'in_use', settings } end

local t = redis.call('TIME')
local at = t[1] .. string.format('%03d', math.floor(t[2] / 1000))
revision = string.format('%.0f', redis.call('HINCRBY', revisions, channel, 1))
redis.call('HDEL', channels, channel)
redis.call('RPUSH', moves, '{"from":"' .. string.match(stored, '^{"version":"(%x+)"') .. '","to":"","seq":0,"revision":'
  .. revision .. ',"at":' .. at .. ',' .. string.sub(move, 2))
publish_move({ blueprint_id = bp, version = '', seq = '0', channel = channel, revision = revision })
return { 'deleted' }
