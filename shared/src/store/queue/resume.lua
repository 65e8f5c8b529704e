#!lua flags=allow-oom
-- Removes a pause and places the heads of parked queues only. A queue under another pause is parked
-- again. Idempotent.
-- KEYS, ARGV  of include/keys.lua, without an issue and a holder. ARGV also has:
--       lifted: the pause to remove, or nil; queues: the blueprint_ids of the queues
-- Outcomes  ok
--@include keys
--@include place_head
local lifted = arg.lifted

if lifted then redis.call('HDEL', K.paused, lifted) end
for _, queue in ipairs(arg.queues) do
  bp, K.backlog = queue, key_of(queue, K.backlog)
  if redis.call('HGET', K.places, bp) == 'parked' then place_head(false) end
end
return { 'ok' }
