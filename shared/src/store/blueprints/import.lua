#!lua
-- Makes a staged history the history of a new Blueprint, or of a bundled one without changes.
-- KEYS  1 blueprint; 2 blueprints; 3 documents; 4 commits; 5 newest; 6 labels; 7 channels;
--       8 channel_revisions; 9 channel_moves; 10-16 the last seven, staged; 17 settings_counter;
--       18 orbits
-- ARGV  1 blueprint_id; 2 seq; 3 version; 4 label; 5 updated_at, all of the newest commit;
--       6 the version of the only commit of the Blueprint to replace, or '';
--       7 settings counter before the check of its use as an orbit
-- Outcomes  imported | exists | lost: the staged data has expired | orbit_in_use
--@include heads
local blueprint, blueprints, staged_commits = KEYS[1], KEYS[2], KEYS[11]
local settings_counter, orbits = KEYS[17], KEYS[18]
local bp, seq, version, label, updated_at, replaced, checked = unpack(ARGV)

local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived')
local is_free = not head[1]
if replaced ~= '' then
  -- A channel that was deleted has a revision.
  is_free = head[1] == '1' and head[2] == replaced and head[3] ~= '1' and redis.call('EXISTS', KEYS[8]) == 0
end
if not is_free then return { 'exists' } end
if redis.call('HEXISTS', staged_commits, seq) == 0 then return { 'lost' } end

local is_orbit = false
if replaced ~= '' then
  for _, orbit in ipairs(redis.call('HVALS', orbits)) do
    if string.match(orbit, '^%S+') == bp then
      -- It may select the version that would be gone.
      if string.match(orbit, '%S+$') ~= 'latest' then return { 'exists' } end
      if checked ~= (redis.call('GET', settings_counter) or '0') then return { 'orbit_in_use' } end
      is_orbit = true
    end
  end
  for i = 3, 9 do redis.call('DEL', KEYS[i]) end
end

for i = 10, 16 do
  -- A history without labels, or without channels, has no such key.
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i - 7])
    redis.call('PERSIST', KEYS[i - 7])
  end
end
redis.call('HSET', blueprint, 'seq', seq, 'version', version, 'label', label, 'updated_at', updated_at)
redis.call('ZADD', blueprints, 0, bp)
if is_orbit then redis.call('INCR', settings_counter) end
publish_move({ blueprint_id = bp, version = version, seq = seq })
return { 'imported' }
