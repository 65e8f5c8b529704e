#!lua
-- Writes a setting and raises the counter that notifies workers of changes.
-- KEYS  1 settings; 2 setting_revisions; 3 settings_counter; 4 orbits;
--       5 blueprint, 6 channels, 7 channel_revisions of the orbit, unless it is in another shard
-- ARGV  1 setting_id; 2 setting without revision and time; 3 expected revision or '';
--       4 orbit entry; 5 seq of the checked orbit or '';
--       6 followed channel of the orbit or ''; 7 checked revision of that channel or ''
-- Outcomes  stored: revision, now | revision_moved: revision | unknown_orbit | archived_orbit
--   orbit_moved
local settings, revisions, settings_counter, orbits, orbit = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local channels, channel_revisions = KEYS[6], KEYS[7]
local id, setting, expected, orbit_entry, checked, channel, checked_channel = unpack(ARGV)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- A deleted setting keeps its entry in `revisions`. A new setting with its name continues from it.
local revision = 0
if redis.call('HEXISTS', settings, id) == 1 then revision = tonumber(redis.call('HGET', revisions, id) or 0) end
if expected ~= '' and tonumber(expected) ~= revision then return { 'revision_moved', revision } end
local found = orbit and redis.call('HMGET', orbit, 'seq', 'archived') or { '?' }
if not found[1] then return { 'unknown_orbit' } end
if found[2] == '1' then return { 'archived_orbit' } end
if orbit and checked ~= '' and found[1] ~= checked then return { 'orbit_moved' } end
if orbit and channel ~= '' then
  local exists = redis.call('HEXISTS', channels, channel) == 1
  local followed = exists and redis.call('HGET', channel_revisions, channel)
  if not followed or (checked_channel ~= '' and followed ~= checked_channel) then return { 'orbit_moved' } end
end

revision = redis.call('HINCRBY', revisions, id, 1)
redis.call('HSET', settings, id, string.sub(setting, 1, -2) .. ',"revision":' .. revision
  .. ',"updated_at":' .. string.format('%.0f', now) .. '}')
redis.call('HSET', orbits, id, orbit_entry)
redis.call('INCR', settings_counter)
return { 'stored', revision, now }
