#!lua
-- Creates a channel, or moves it to another version of its Blueprint.
-- KEYS  1 blueprint; 2 newest; 3 channels; 4 channel_revisions; 5 channel_moves;
--       6 settings_counter; 7 orbits
-- ARGV  1 blueprint_id; 2 channel; 3 version; 4 expected revision or '';
--       5 channel; 6 move: both without versions, seq, revision and at;
--       7 maximum number of channels;
--       8 settings counter before the check of its use as an orbit
-- Outcomes  moved: channel | unchanged: channel | unknown | archived | channel_moved: revision
--   unknown_version | too_many | orbit_in_use
--@include heads
local blueprint, newest, channels, revisions, moves = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local settings_counter, orbits = KEYS[6], KEYS[7]
local bp, channel, version, expected, draft, move, most, checked = unpack(ARGV)

local head = redis.call('HMGET', blueprint, 'seq', 'archived')
if not head[1] then return { 'unknown' } end
if head[2] == '1' then return { 'archived' } end
-- A deleted channel keeps its entry in `revisions`. A new channel with its name continues from it.
local stored = redis.call('HGET', channels, channel)
local revision = stored and redis.call('HGET', revisions, channel) or '0'
if expected ~= '' and expected ~= revision then return { 'channel_moved', tonumber(revision) } end
local seq = redis.call('HGET', newest, version)
if not seq then return { 'unknown_version' } end
if not stored and redis.call('HLEN', channels) >= tonumber(most) then return { 'too_many' } end
local from = stored and string.match(stored, '^{"version":"(%x+)"') or ''
if from == version then return { 'unchanged', stored } end

-- A setting may have started to follow it, or may have changed, since the caller's check.
local is_followed = false
for _, orbit in ipairs(redis.call('HVALS', orbits)) do
  if orbit == bp .. ' ' .. channel .. ' pinned' then is_followed = true end
end
local is_checked = checked == (redis.call('GET', settings_counter) or '0')
if is_followed and not is_checked then return { 'orbit_in_use' } end

local t = redis.call('TIME')
local at = t[1] .. string.format('%03d', math.floor(t[2] / 1000))
revision = string.format('%.0f', redis.call('HINCRBY', revisions, channel, 1))
local place = ',"seq":' .. seq .. ',"revision":' .. revision .. ',"at":' .. at .. ','
stored = '{"version":"' .. version .. '"' .. place .. string.sub(draft, 2)
redis.call('HSET', channels, channel, stored)
redis.call('RPUSH', moves, '{"from":"' .. from .. '","to":"' .. version .. '"' .. place .. string.sub(move, 2))
if is_followed then redis.call('INCR', settings_counter) end
publish_move({ blueprint_id = bp, version = version, seq = seq, channel = channel, revision = revision })
return { 'moved', stored }
