#!lua flags=allow-oom
-- Decides an issue that this caller holds, or sends it to review. Version, commit, head, label
-- index, log entry, proposal, issue state, queue, next head, lease and counters change atomically.
-- On request, the queue's next issue becomes the caller's lease in the same step.
-- KEYS, ARGV  of include/keys.lua, with the caller as holder. ARGV also has:
--       token; kind: applied | review | denied | failed | dead; reason; log: log entry;
--       all but failed and dead: expected_seq, refused_log: log entry for archived and
--       orbit_needs_admin; applied and review: settings_counter: the settings that the run knew,
--       version, commit, label or '', and as ARGV 2 the document; review: proposal, a map: reasons
--       and patch (JSON), ttl_ms (0: none), expiry_reason, allow_self_review;
--       next: nil for no next issue, or a map: nonce and lease_ms of the next issue's lease;
--       known_version: a head version whose document the caller will have, or nil;
--       yields: true for no next issue while another queue waits in `pending`
-- Outcomes  ok: state; with a next issue also its id and the reply of a claim's `ok`
--   stale: the caller does not hold the issue
--   moved_head: seq, version, document, settings counter; the lease is kept. The head moved, or
--     the target is an orbit and the settings changed: the run has not tried the new version with
--     them
--   archived: decided, failed
--   orbit_needs_admin: its target has become an orbit, and no admin submitted it; decided, failed
--@include keys
--@include place_head
--@include announce
--@include heads
--@include leave_queue
--@include decide
--@include commit
--@include orbit_right
--@include grant
local token, kind, reason, log, expected_seq = arg.token, arg.kind, arg.reason, arg.log, arg.expected_seq
local version, document, commit, label = arg.version or '', ARGV[2], arg.commit, arg.label
local wanted = arg.next

local archived_reason = 'dispatch failed: ' .. ARCHIVED

-- Stores the verified change and opens its review. `base` is the head that it was verified on.
local function propose(base)
  local p = arg.proposal
  local expires_at = p.ttl_ms > 0 and int(now + p.ttl_ms) or ''
  change('state', 'in_review', 'reason', reason, 'round', int((issue.round or 0) + 1),
    'proposed', version, 'base', base)
  redis.call('HSET', K.proposal, 'version', version, 'document', document, 'label', label, 'commit', commit,
    'base_version', base, 'base_seq', int(expected_seq), 'log', log, 'reasons', p.reasons, 'patch', p.patch,
    'settings_counter', int(arg.settings_counter), 'allow_self_review', p.allow_self_review and '1' or '',
    'expiry_reason', p.expiry_reason, 'expires_at', expires_at, 'round', issue.round, 'at', at)
  redis.call('ZADD', K.in_review, at, id)
  if expires_at ~= '' then redis.call('ZADD', K.review_due, expires_at, element) end
  redis.call('HINCRBY', K.counts, 'proposed', '1')
end

-- Makes the next issue of the queue the current one.
local function turn_to(next_id, fields)
  K.issue, K.intent = key_of(next_id, K.issue), key_of(next_id, K.intent)
  K.proposal = key_of(next_id, K.proposal)
  id, element, issue = next_id, bp .. '/' .. next_id, fields
end

if issue.token ~= token then return { 'stale' } end
local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived', 'orbit_as_of')
local counter = redis.call('GET', settings_counter) or '0'
-- The setting whose orbit the Blueprint is. It is read just before the decision.
local named_by, note

-- Returns the issue of this backlog element if this worker can have it next; otherwise its own
-- claim gives the reason. The issue was never the head of its queue. So it was never claimed, has
-- no worker deaths and has no delay.
local function free_next(item)
  if wanted.yields and redis.call('EXISTS', K.pending) == 1 then return nil end
  local next_id = parse_backlog(item)
  local fields = read_issue(key_of(next_id, K.issue))
  if fields.state ~= 'pending' or is_paused() then return nil end
  if forbidden_by(named_by, fields.authority) then return nil end
  return { id = next_id, fields = fields }
end

-- Returns the issue that an earlier call with this token handed over, while that lease exists.
local function handed_before()
  local next_id = wanted and head_of_queue()
  local fields = next_id and read_issue(key_of(next_id, K.issue)) or {}
  if not next_id or fields.nonce ~= wanted.nonce then return {} end
  turn_to(next_id, fields)
  return { id, told_to_worker(head[1], head[2], wanted.known_version, counter) }
end

if issue.state == 'applied' or issue.state == 'rejected' or issue.state == 'in_review' then
  if issue.cause == 'cancelled' then return { 'stale' } end
  if issue.reason == archived_reason then return { 'archived' } end
  if string.sub(issue.reason, 1, #NEEDS_ADMIN) == NEEDS_ADMIN then return { 'orbit_needs_admin' } end
  local state = issue.state
  return { 'ok', state, unpack(handed_before()) }
end
if issue.state ~= 'in_flight' then return { 'stale' } end
local function fail(why)
  decide({ state = 'rejected', cause = 'failed', reason = why, new_version = '', log = failed_log(arg.refused_log, why) })
  announce()
end
named_by, note = setting_of(orbits, bp, head[4], counter)
if expected_seq then
  if head[3] == '1' then
    fail(archived_reason)
    return { 'archived' }
  end
  local setting = version ~= '' and forbidden_by(named_by, issue.authority)
  if setting then
    fail(needs_admin(setting))
    return { 'orbit_needs_admin' }
  end
  local knows_settings = not named_by or version == '' or int(arg.settings_counter) == counter
  if tonumber(head[1]) ~= expected_seq or not knows_settings then
    return { 'moved_head', tonumber(head[1]), head[2], redis.call('HGET', K.documents, head[2]) or '',
      tonumber(counter) }
  end
end

local take = wanted and head[3] ~= '1' and free_next
local next_issue, behind_next
if note then redis.call('HSET', blueprint, 'orbit_as_of', note) end
if kind == 'applied' then
  local seq = commit_change({ document = document, version = version, label = label, commit = commit,
    seq = expected_seq, parent = head[2] })
  if named_by then counter = redis.call('INCR', settings_counter) end
  head = { seq, version }
  next_issue, behind_next = decide({ state = 'applied', cause = '', reason = '', new_version = version, log = log,
    take = take })
elseif kind == 'review' then
  next_issue, behind_next = leave_queue(take)
  propose(head[2])
else
  next_issue, behind_next = decide({ state = 'rejected', cause = kind == 'denied' and 'denied' or 'failed',
    reason = reason, new_version = '', log = log, dead = kind == 'dead', take = take })
end
-- Publishes the new head. Call it last.
local function announce_head()
  if kind == 'applied' then publish_move({ blueprint_id = bp, version = version, seq = head[1] }) end
end
if not next_issue then
  announce_head()
  announce()
  return { 'ok', issue.state }
end

-- The place stays `leased`.
local state, worker, decided_id, decided = issue.state, issue.worker_id, id, event_of_issue()
turn_to(next_issue.id, next_issue.fields)
redis.call('LPUSH', K.processing, element)
grant(worker, wanted.nonce, wanted.lease_ms, behind_next)
announce_head()
publish(decided_id, decided)
announce()
return { 'ok', state, id, told_to_worker(head[1], head[2], wanted.known_version, counter) }
