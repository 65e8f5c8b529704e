#!lua flags=allow-oom
-- Pauses one Blueprint's queue, or all (`*`). Issues in flight are unaffected. Elements already in
-- `pending` are parked by their claim. Idempotent.
-- KEYS  1 paused; 2 the blueprint, unless all are paused
-- ARGV  1 blueprint_id or '*'; 2 the actor. The first actor of a pause stays
-- Outcomes  ok | unknown_target
local paused, blueprint, name, by = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local t = redis.call('TIME')

if blueprint and redis.call('EXISTS', blueprint) == 0 then return { 'unknown_target' } end

redis.call('HSETNX', paused, name, string.format('%.0f %s', t[1] * 1000 + math.floor(t[2] / 1000), by))
return { 'ok' }
