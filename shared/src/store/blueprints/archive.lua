#!lua
-- Archives a Blueprint, unless a setting names it as its orbit, or unarchives it.
-- KEYS  1 blueprint; 2 orbits
-- ARGV  1 blueprint_id; 2 archive | unarchive
-- Outcomes  done: the blueprint's fields | unknown | in_use: names of settings
--@include heads
local blueprint, orbits = KEYS[1], KEYS[2]
local bp, is_archived = ARGV[1], ARGV[2] == 'archive'

if redis.call('HEXISTS', blueprint, 'seq') == 0 then return { 'unknown' } end
-- Without the suffix of a setting that is about to be written.
local settings = {}
local named = is_archived and redis.call('HGETALL', orbits) or {}
for i = 1, #named, 2 do
  if string.match(named[i + 1], '^%S+') == bp then table.insert(settings, (string.match(named[i], '^%S+'))) end
end
table.sort(settings)
if settings[1] then return { 'in_use', settings } end

if is_archived then redis.call('HSET', blueprint, 'archived', '1') else redis.call('HDEL', blueprint, 'archived') end
local head = redis.call('HMGET', blueprint, 'version', 'seq')
publish_move({ blueprint_id = bp, version = head[1], seq = head[2], archived = is_archived })
return { 'done', redis.call('HGETALL', blueprint) }
