#!lua
-- Converts a popped element to a lease and returns all that the worker needs for the issue.
-- KEYS, ARGV  of include/keys.lua, with the claiming worker as holder. ARGV also has:
--       nonce; lease_ms; known_version: a head version whose document the caller has, or nil;
--       log: log entry for archived and orbit_needs_admin, without intent;
--       shared_run_limit: maximum worker deaths for a shared run, nil for an exclusive run
-- Outcomes  ok | again: token, attempt, retries, submitted_at, intent, now, settings counter, seq,
--     version, document or '', trace or '', submitted_by or '', stored patch or ''
--   gone: terminal or not its queue's head; removed from the list | not_mine: not in this list
--   held: leased to this worker under another nonce | parked: paused; removed from the list
--   archived: decided
--   orbit_needs_admin: its target has become an orbit, and no admin submitted it; decided
--   alone: too many worker deaths for a shared run; left in the list
--@include keys
--@include place_head
--@include announce
--@include leave_queue
--@include decide
--@include orbit_right
--@include grant
local blueprint, worker, nonce, known_version, log = K.blueprint, arg.holder, arg.nonce, arg.known_version, arg.log
local shared_run_limit = arg.shared_run_limit
local alone = not shared_run_limit

local head_id, behind = head_and_next()
local is_head = head_id == id
local place = redis.call('HGET', K.places, bp)
local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived', 'orbit_as_of')
local counter = redis.call('GET', settings_counter) or '0'

local mine = issue.state == 'in_flight' and place == 'leased' and issue.worker_id == worker
if mine and is_head then
  if issue.nonce == nonce then return { 'again', told_to_worker(head[1], head[2], known_version, counter) } end
  return { 'held' }
end
if not redis.call('LPOS', K.processing, element) then return { 'not_mine' } end
local is_ready = issue.state == 'pending' and place == 'ready' and is_head
if not is_ready then
  redis.call('LREM', K.processing, 0, element)
  return { 'gone' }
end
if is_paused() then
  redis.call('LREM', K.processing, 0, element)
  redis.call('HSET', K.places, bp, 'parked')
  return { 'parked' }
end
local function fail(reason)
  local entry = stamp(failed_log(log, reason), '"intent":' .. cjson.encode(redis.call('GET', K.intent)))
  decide({ state = 'rejected', cause = 'failed', reason = reason, new_version = '', log = entry })
  announce()
end
if head[3] == '1' then
  fail('dispatch failed: ' .. ARCHIVED)
  return { 'archived' }
end
local named_by, note = setting_of(orbits, bp, head[4], counter)
local setting = forbidden_by(named_by, issue.authority)
if setting then
  fail(needs_admin(setting))
  return { 'orbit_needs_admin' }
end
local deaths = tonumber(issue.deaths or 0)
if not alone and deaths > shared_run_limit then return { 'alone' } end

grant(worker, nonce, arg.lease_ms, behind)
if note then redis.call('HSET', blueprint, 'orbit_as_of', note) end
if alone then redis.call('HSET', K.issue, 'alone', '1') end
redis.call('HSET', K.places, bp, 'leased')

announce()
return { 'ok', told_to_worker(head[1], head[2], known_version, counter) }
