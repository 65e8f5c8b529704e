#!lua flags=allow-oom
-- Cancels an issue in any state. Its holder learns it from the event or the heartbeat.
-- KEYS, ARGV  of include/keys.lua, with the holder that the caller read. ARGV also has:
--       log: log entry; authority of the caller: admin | submitter;
--       is_bundled: the target is a bundled orbit; decided_by: the actor of the caller
-- Outcomes  ok: fields | again: fields; cancelled before | decided: fields; another terminal state
--   moved: another worker holds it now, read it again | not_found
--   orbit_needs_admin: the setting that names the target as its orbit, or '' for a bundled one
--@include keys
--@include place_head
--@include announce
--@include leave_queue
--@include decide
--@include orbit_right
local orbits, holder, log, authority = K.orbits, arg.holder, arg.log, arg.authority

if not issue.state then return { 'not_found' } end
if issue.state == 'applied' or issue.state == 'rejected' then
  return { issue.cause == 'cancelled' and 'again' or 'decided', stored }
end
local setting = authority ~= 'admin' and forbidden_by(read_setting_of(orbits, bp), authority, arg.is_bundled)
if setting then return { 'orbit_needs_admin', setting } end
if issue.state == 'in_flight' and issue.worker_id ~= holder then return { 'moved' } end

decide({ state = 'rejected', cause = 'cancelled', reason = 'cancelled', new_version = '', log = log,
  by = arg.decided_by })
announce()
-- The order relative to `decide` is irrelevant: no client reads the issue before the script ends.
redis.pcall('PUBLISH', CANCELLED, id)
return { 'ok', redis.call('HGETALL', K.issue) }
