#!lua flags=allow-oom
-- Commits the proposed document that the caller has seen, on the head that the caller has seen. If
-- the head has moved, the issue joins its queue again with its stored patch.
-- KEYS, ARGV  of include/keys.lua, without a holder. ARGV also has:
--       new_version, base_version: what the caller has seen; by: the actor of the caller;
--       comment, '' without one; is_authenticated: the actor is not only claimed;
--       refused_log: log entry for orbit_needs_admin, without intent
-- Outcomes  ok: fields; committed | again: fields; the same approval was committed before
--   moved_head: fields; nothing is committed, and the issue is verified again
--   other: fields; in review with another proposal
--   not_in_review: fields; decided otherwise, expired, or being verified again
--   self_review | archived | not_found
--   orbit_needs_admin: fields; its target has become an orbit, and no admin submitted it; decided
--@include keys
--@include place_head
--@include announce
--@include heads
--@include leave_queue
--@include join_queue
--@include decide
--@include commit
--@include review
--@include orbit_right
local by, orbits, settings_counter = arg.by, K.orbits, K.settings_counter

if not issue.state then return { 'not_found' } end
local function with_fields(outcome) return { outcome, redis.call('HGETALL', K.issue) } end
local is_seen = issue.proposed == arg.new_version and issue.base == arg.base_version
if issue.state ~= 'in_review' then
  if issue.state == 'applied' and issue.round and is_seen then return with_fields('again') end
  local is_verified_again = issue.state == 'pending' or issue.state == 'in_flight'
  -- A repeated call whose first reply was lost gets the same answer.
  if is_verified_again and issue.round and is_seen then return with_fields('moved_head') end
  return with_fields('not_in_review')
end
local proposal = read_proposal()
if arg.is_authenticated and issue.submitted_by == by and proposal.allow_self_review ~= '1' then
  return { 'self_review' }
end
if decline_if_due(proposal) then return with_fields('not_in_review') end
local is_proposed = proposal.version == arg.new_version and proposal.base_version == arg.base_version
if not is_proposed then return with_fields('other') end
local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived', 'orbit_as_of')
if head[3] == '1' then return { 'archived' } end
local counter = redis.call('GET', settings_counter) or '0'
local named_by, note = setting_of(orbits, bp, head[4], counter)
local setting = forbidden_by(named_by, issue.authority)
if setting then
  local why = needs_admin(setting)
  local entry = stamp(failed_log(arg.refused_log, why), '"intent":' .. cjson.encode(redis.call('GET', K.intent)))
  decide({ state = 'rejected', cause = 'failed', reason = why, new_version = '', log = entry, by = by })
  announce()
  return with_fields('orbit_needs_admin')
end

if note then redis.call('HSET', blueprint, 'orbit_as_of', note) end
-- An orbit was tried with the settings of that time.
local is_as_tried = not named_by or proposal.settings_counter == counter
if head[1] ~= proposal.base_seq or head[2] ~= proposal.base_version or not is_as_tried then
  redis.call('ZREM', K.in_review, id)
  redis.call('ZREM', K.review_due, element)
  redis.call('HDEL', K.issue, 'token', 'nonce', 'alone', 'deaths', 'retries')
  change('state', 'pending', 'reason', 'the head moved before the approval; the change is verified again',
    'joined_at', at)
  join_queue()
  announce()
  return with_fields('moved_head')
end
local seq = commit_change({ document = proposal.document, version = proposal.version, label = proposal.label,
  commit = proposal.commit, seq = tonumber(proposal.base_seq), parent = proposal.base_version, by = by,
  comment = arg.comment })
if named_by then redis.call('INCR', settings_counter) end
decide({ state = 'applied', cause = '', reason = '', new_version = proposal.version, by = by, comment = arg.comment,
  log = stamp(proposal.log, '"new_hash":"' .. proposal.version .. '","cause":"","reasons":[]') })
publish_move({ blueprint_id = bp, version = proposal.version, seq = seq })
announce()
return with_fields('ok')
