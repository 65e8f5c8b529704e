#!lua
-- Accepts an issue: stores it, appends it to its Blueprint's queue, places the head.
-- KEYS, ARGV  of include/keys.lua, without a holder. ARGV also has:
--       intent; retry_of, trace for the worker, or nil;
--       authority of the caller: admin | submitter; is_bundled: the target is a bundled orbit;
--       submitted_by: the actor of the caller
-- Outcomes  accepted: now | existed: fields, intent | conflict
--   decided: decided and pruned; its log entry is the tombstone | unknown_target | archived
--   orbit_needs_admin: the setting that names the target as its orbit, or '' for a bundled one
--@include keys
--@include place_head
--@include announce
--@include join_queue
--@include orbit_right
local issues, issues_here, blueprint, orbits, settings_counter =
  K.issues, K.issues_here, K.blueprint, K.orbits, K.settings_counter
local intent, retry_of, trace, authority = arg.intent, arg.retry_of or '', arg.trace, arg.authority

if issue.blueprint_id then
  local same = issue.blueprint_id == bp and (issue.retry_of or '') == retry_of and redis.call('GET', K.intent) == intent
  if not same then return { 'conflict' } end
  return { 'existed', stored, intent }
end
if redis.call('HEXISTS', K.log, id) == 1 then return { 'decided' } end
local target = redis.call('HMGET', blueprint, 'seq', 'archived', 'orbit_as_of')
if not target[1] then return { 'unknown_target' } end
if target[2] == '1' then return { 'archived' } end
local named_by, note
if authority ~= 'admin' then
  named_by, note = setting_of(orbits, bp, target[3], redis.call('GET', settings_counter) or '0')
end
local setting = forbidden_by(named_by, authority, arg.is_bundled)
if setting then return { 'orbit_needs_admin', setting } end

if note then redis.call('HSET', blueprint, 'orbit_as_of', note) end
local fields = { 'blueprint_id', bp, 'state', 'pending', 'attempt', '0', 'submitted_at', at,
  'submitted_by', arg.submitted_by }
local function add(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
if retry_of ~= '' then
  add('retry_of', retry_of)
  -- The dead list holds only issues without a retry.
  redis.call('ZREM', K.dead, retry_of)
end
-- Stored with the issue, because its target can become an orbit before the decision.
if authority == 'admin' then add('authority', 'admin') end
if trace then add('trace', trace) end
change(unpack(fields))
redis.call('SET', K.intent, intent)
redis.call('ZADD', issues, at, id)
redis.call('ZADD', issues_here, at, id)
redis.call('HINCRBY', K.counts, 'submitted', '1')
join_queue()

announce()
return { 'accepted', now }
