#!lua flags=allow-oom
-- Cancels an issue in any state. Its holder learns it from the event or the heartbeat.
-- KEYS  1-16 the issue block, with the holder's processing list; 17 orbits
-- ARGV  1 blueprint_id; 2 issue_id; 3 channel; 4 issue channel;
--       5 the holder that the caller read, or ''; 6 log entry; 7 cancel channel;
--       8 authority of the caller: admin | submitter;
--       9 '1' if the target is a bundled orbit, else ''
-- Outcomes  ok: fields | again: fields; cancelled before | decided: fields; another terminal state
--   moved: another worker holds it now, read it again | not_found
--   orbit_needs_admin: the setting that names the target as its orbit, or '' for a bundled one
--@include keys
--@include place_head
--@include announce
--@include decide
--@include orbit_right
local orbits = KEYS[17]
local holder, log, cancel_channel, authority = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

if not issue.state then return { 'not_found' } end
if issue.state == 'applied' or issue.state == 'rejected' then
  return { issue.cause == 'cancelled' and 'again' or 'decided', stored }
end
local setting = authority ~= 'admin' and forbidden_by(read_setting_of(orbits, bp), authority, ARGV[9] == '1')
if setting then return { 'orbit_needs_admin', setting } end
if issue.state == 'in_flight' and issue.worker_id ~= holder then return { 'moved' } end

decide({ state = 'rejected', cause = 'cancelled', reason = 'cancelled', new_version = '', log = log })
announce()
-- The order relative to `decide` is irrelevant: no client reads the issue before the script ends.
redis.pcall('PUBLISH', cancel_channel, id)
return { 'ok', redis.call('HGETALL', K.issue) }
