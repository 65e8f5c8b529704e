#!lua flags=allow-oom
-- Places a delayed issue that is due.
-- KEYS, ARGV  of include/keys.lua, without a holder
-- Outcomes  promoted | not_due | gone: no longer delayed
--@include keys
--@include place_head
local due = redis.call('ZSCORE', K.delayed, element)
if not due then return { 'gone' } end
if tonumber(due) > now then return { 'not_due' } end
local delayed_head = redis.call('HGET', K.places, bp) == 'delayed' and head_of_queue() == id

redis.call('ZREM', K.delayed, element)
if not delayed_head then return { 'gone' } end
place_head(false)
return { 'promoted' }
