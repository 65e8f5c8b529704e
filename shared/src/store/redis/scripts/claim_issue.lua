#!lua
-- Makes a popped element a lease, and hands over all that the worker needs for the issue.
-- KEYS  1-16 the issue block; 17 blueprint; 18 documents; 19 fence; 20 settings_counter; 21 orbits
-- ARGV  1 blueprint_id; 2 issue_id; 3 channel; 4 issue channel; 5 worker_id; 6 nonce; 7 lease ms;
--       8 a head version whose document the caller has, or ''; 9 log entry for archived and orbit_needs_admin, without intent;
--       10 how often it may have crashed its worker to be claimed beside others, or 'alone'
-- Outcomes  ok | again: token, attempt, retries, submitted_at, intent, now, settings counter, seq, version, document or '', trace or ''
--   gone: terminal or not its queue's head; taken out of the list | not_mine: not in this list
--   held: leased to this worker under another nonce | parked: paused; taken out | archived: decided
--   orbit_needs_admin: its target has become an orbit, and an admin did not file it; decided
--   alone: it has crashed too often to be claimed beside others; left in the list
--@include keys
--@include place_head
--@include announce
--@include decide
--@include orbit_right
local blueprint, documents, fence, settings_counter, orbits = KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local worker, nonce, lease_ms, known_version, log = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
local alone, bearable = ARGV[10] == 'alone', tonumber(ARGV[10])

local head_id, behind = head_and_next()
local is_head = head_id == id
local place = redis.call('HGET', K.places, bp)
local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived')

local function handover(outcome, token, attempt)
  local document = ''
  if head[2] ~= known_version then document = redis.call('HGET', documents, head[2]) or '' end
  return { outcome, token, attempt, tonumber(issue.retries or 0), tonumber(issue.submitted_at), redis.call('GET', K.intent), now,
    tonumber(redis.call('GET', settings_counter) or 0), tonumber(head[1]), head[2], document, issue.trace or '' }
end

local mine = issue.state == 'in_flight' and place == 'leased' and issue.worker_id == worker
if mine and is_head then
  if issue.nonce == nonce then return handover('again', issue.token, tonumber(issue.attempt)) end
  return { 'held' }
end
if not redis.call('LPOS', K.processing, element) then return { 'not_mine' } end
local is_ready = issue.state == 'pending' and place == 'ready' and is_head
if not is_ready then
  redis.call('LREM', K.processing, 0, element)
  return { 'gone' }
end
local paused = redis.call('HMGET', K.paused, '*', bp)
if paused[1] or paused[2] then
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
local setting = orbit_forbids(orbits, bp, issue.authority)
if setting then
  fail(needs_admin(setting))
  return { 'orbit_needs_admin' }
end
local crashes = tonumber(issue.crashes or 0)
if not alone and crashes > bearable then return { 'alone' } end

local attempt = tonumber(issue.attempt) + 1
local token = int(redis.call('INCR', fence)) .. '-' .. nonce
-- The audit learns from it how long a lease may last.
change('state', 'in_flight', 'token', token, 'nonce', nonce, 'worker_id', worker, 'attempt', tostring(attempt), 'reason', '',
  'lease_ms', ARGV[7])
if alone then redis.call('HSET', K.issue, 'alone', '1') end
redis.call('ZADD', K.leases, int(now + lease_ms), element)
redis.call('HSET', K.places, bp, 'leased')
redis.call('HINCRBY', K.counts, 'pending', '-1')
if behind then
  local _, since = parse_backlog(behind)
  redis.call('ZADD', K.waiting, since, bp)
else
  redis.call('ZREM', K.waiting, bp)
end

announce()
return handover('ok', token, attempt)
