#!lua flags=allow-oom
-- Takes an element that nobody claimed out of a processing list. It goes back to `pending`
-- only if it is its queue's head and the queue says it is ready: anything else is a stale copy.
-- KEYS  1-15 the issue block
-- ARGV  1 blueprint_id; 2 issue_id; 3 channel; 4 issue channel
-- Outcomes  returned | gone: only taken out | not_mine: not in this list
--@include keys
--@include place_head
if redis.call('LREM', K.processing, 0, element) == 0 then return { 'not_mine' } end
local place = redis.call('HGET', K.places, bp)

if place == 'ready' and head_of_queue() == id then
  place_head(true)
  return { 'returned' }
end
return { 'gone' }
