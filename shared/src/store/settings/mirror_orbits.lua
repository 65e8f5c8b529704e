#!lua
-- Replaces a shard's copy of `orbits` with the settings of shard 0, unless the copy is newer. It
-- raises the counter that notifies workers of changes.
-- KEYS  1 orbits; 2 settings_counter; 3 meta
-- ARGV  1 settings counter of shard 0 before the settings were read;
--       then for each setting: 2 setting_id; 3 orbit entry
-- Outcomes  mirrored | same: already equal | newer: this shard has a newer copy
local ANNOUNCED_MS = 60000
local orbits, settings_counter, meta, as_of = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])

local have = tonumber(redis.call('HGET', meta, 'orbits_as_of') or -1)
if have > as_of then return { 'newer' } end
local entries = {}
for i = 2, #ARGV do entries[i - 1] = ARGV[i] end
-- A setting that is about to be written has a suffix and its time behind its name. Its writer
-- removes the entry, which mirroring keeps until then. The entry of a dead writer is dropped after
-- a minute.
local t = redis.call('TIME')
local present = redis.call('HGETALL', orbits)
for i = 1, #present, 2 do
  local at = string.match(present[i], ' %(announced%) (%d+)')
  if at and math.abs(t[1] * 1000 - at) < ANNOUNCED_MS then
    table.insert(entries, present[i])
    table.insert(entries, present[i + 1])
  end
end
local n, differs = #entries / 2, false
for i = 1, #entries, 2 do
  if redis.call('HGET', orbits, entries[i]) ~= entries[i + 1] then differs = true end
end
if have == as_of and not differs and #redis.call('HKEYS', orbits) == n then return { 'same' } end

redis.call('DEL', orbits)
for i = 1, #entries, 2 do redis.call('HSET', orbits, entries[i], entries[i + 1]) end
redis.call('HSET', meta, 'orbits_as_of', ARGV[1])
redis.call('INCR', settings_counter)
return { 'mirrored' }
