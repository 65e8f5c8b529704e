#!lua flags=allow-oom
-- Removes a pause and places the heads of parked queues only. A queue under another pause is parked
-- again. Idempotent.
-- KEYS  1-16 the issue block of the first queue; 17.. the backlogs of the other queues
-- ARGV  1 blueprint_id of the first queue; 2 '-'; 3 channel; 4 issue channel;
--       5 the pause to remove, or ''; 6.. the blueprint_ids of the other queues
-- Outcomes  ok
--@include keys
--@include place_head
local lifted = ARGV[5]

if lifted ~= '' then redis.call('HDEL', K.paused, lifted) end
for i = 5, #ARGV do
  if i > 5 then bp, K.backlog = ARGV[i], KEYS[11 + i] end
  if redis.call('HGET', K.places, bp) == 'parked' then place_head(false) end
end
return { 'ok' }
