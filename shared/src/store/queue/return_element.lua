#!lua flags=allow-oom
-- Takes an unclaimed element out of a processing list. It returns to `pending` only if it is its
-- queue's head and the place is ready. Otherwise it is a stale copy.
-- KEYS, ARGV  of include/keys.lua, with the list's worker as holder
-- Outcomes  returned: to its place | gone: only removed | not_mine: not in this list
--   leased: claimed by the list's worker, whose lease decides; left in the list
--@include keys
--@include place_head
local holder = arg.holder

if not redis.call('LPOS', K.processing, element) then return { 'not_mine' } end
local place = redis.call('HGET', K.places, bp)
local is_head = head_of_queue() == id
if is_head and place == 'leased' and redis.call('HGET', K.issue, 'worker_id') == holder then return { 'leased' } end

redis.call('LREM', K.processing, 0, element)
if is_head and place == 'ready' then
  place_head(true)
  return { 'returned' }
end
return { 'gone' }
