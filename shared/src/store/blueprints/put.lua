#!lua
-- Writes a document as the new head of its Blueprint.
-- KEYS  1 blueprint; 2 documents; 3 commits; 4 newest; 5 labels; 6 blueprints; 7 settings_counter;
--       8 orbits
-- ARGV  1 blueprint_id; 2 version; 3 document; 4 label; 5 commit; 6 any | absent | at;
--       7 expected version;
--       8 settings counter before the check of its use as an orbit
-- Outcomes  created: seq, now, parent | unchanged: seq | head_moved: version or '' | archived
--   orbit_in_use
--@include heads
local blueprint, documents, commits, newest = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local labels, blueprints, settings_counter, orbits = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local bp, version, document, label, commit, mode, expected, checked = unpack(ARGV)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived')
if head[3] == '1' then return { 'archived' } end
if head[2] == version then return { 'unchanged', tonumber(head[1]) } end
local as_expected = mode == 'any' or (mode == 'absent' and not head[1]) or (mode == 'at' and head[2] == expected)
if not as_expected then return { 'head_moved', head[2] or '' } end

-- A setting may have started to name it, or may have changed, since the caller's check.
local is_checked = checked == (redis.call('GET', settings_counter) or '0')
local is_orbit = false
for _, orbit in ipairs(redis.call('HVALS', orbits)) do
  if string.match(orbit, '^%S+') == bp then
    is_orbit = true
    if not is_checked and string.match(orbit, '%S+$') ~= 'pinned' then return { 'orbit_in_use' } end
  end
end

local seq = string.format('%.0f', tonumber(head[1] or 0) + 1)
local at = string.format('%.0f', now)
local parents = head[2] and ('["' .. head[2] .. '"]') or '[]'
redis.call('HSETNX', documents, version, document)
redis.call('HSET', commits, seq,
  string.sub(commit, 1, -2) .. ',"seq":' .. seq .. ',"parents":' .. parents .. ',"at":' .. at .. '}')
redis.call('HSET', newest, version, seq)
if label ~= '' then redis.call('HSET', labels, label, seq) end
redis.call('HSET', blueprint, 'seq', seq, 'version', version, 'label', label, 'updated_at', at)
redis.call('ZADD', blueprints, 0, bp)
if is_orbit then redis.call('INCR', settings_counter) end
publish_move({ blueprint_id = bp, version = version, seq = seq })
return { 'created', tonumber(seq), now, head[2] or '' }
