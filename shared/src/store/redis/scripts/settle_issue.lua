#!lua flags=allow-oom
-- Decides an issue that this caller holds: version, commit, head, label index, log entry, issue
-- state, queue, next head, lease and counters change together or not at all.
-- KEYS  1-16 the issue block; 17 blueprint; 18 documents; 19 commits; 20 newest; 21 labels;
--       22 settings_counter; 23 orbits; 24 ranks
-- ARGV  1 blueprint_id; 2 issue_id; 3 channel; 4 issue channel; 5 token; 6 applied | denied | failed | dead;
--       7 reason; 8 log entry; 9 expected seq (0 for failed and dead); 10 version; 11 document;
--       12 commit; 13 label; 14 log entry for archived and orbit_needs_admin; 15 rank of the label or ''
-- Outcomes  ok: state, new_version | stale: not (or no longer) this caller's to decide
--   moved_head: seq, version, document; the lease is kept | archived: decided, failed
--   orbit_needs_admin: its target has become an orbit, and an admin did not file it; decided, failed
--@include keys
--@include place_head
--@include announce
--@include decide
--@include orbit_right
local blueprint, documents, commits, newest, labels = KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local settings_counter, orbits, ranks = KEYS[22], KEYS[23], KEYS[24]
local token, kind, reason, log = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local expected_seq, version, document, commit, label = tonumber(ARGV[9]), ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local rank = ARGV[15]

local archived_reason = 'dispatch failed: ' .. ARCHIVED

if issue.token ~= token then return { 'stale' } end
if issue.state == 'applied' or issue.state == 'rejected' then
  if issue.cause == 'cancelled' then return { 'stale' } end
  if issue.reason == archived_reason then return { 'archived' } end
  if string.sub(issue.reason, 1, #NEEDS_ADMIN) == NEEDS_ADMIN then return { 'orbit_needs_admin' } end
  return { 'ok', issue.state, issue.new_version }
end
if issue.state ~= 'in_flight' then return { 'stale' } end
local head = redis.call('HMGET', blueprint, 'seq', 'version', 'archived')
local function fail(why)
  decide({ state = 'rejected', cause = 'failed', reason = why, new_version = '', log = failed_log(ARGV[14], why) })
  announce()
end
if kind == 'applied' or kind == 'denied' then
  if head[3] == '1' then
    fail(archived_reason)
    return { 'archived' }
  end
  local setting = kind == 'applied' and orbit_forbids(orbits, bp, issue.authority)
  if setting then
    fail(needs_admin(setting))
    return { 'orbit_needs_admin' }
  end
  if tonumber(head[1]) ~= expected_seq then
    return { 'moved_head', tonumber(head[1]), head[2], redis.call('HGET', documents, head[2]) or '' }
  end
end

if kind == 'applied' then
  local seq = int(expected_seq + 1)
  redis.call('HSETNX', documents, version, document)
  redis.call('HSET', commits, seq,
    stamp(commit, '"seq":' .. seq .. ',"parents":["' .. head[2] .. '"],"at":' .. at))
  redis.call('HSET', newest, version, seq)
  if rank ~= '' then
    redis.call('HSET', labels, rank, seq)
    redis.call('ZADD', ranks, '0', rank)
  end
  redis.call('HSET', blueprint, 'seq', seq, 'version', version, 'label', label, 'updated_at', at)
  for _, orbit in ipairs(redis.call('HVALS', orbits)) do
    if string.match(orbit, '^%S+') == bp then redis.call('INCR', settings_counter) break end
  end
  decide({ state = 'applied', cause = '', reason = '', new_version = version, log = log })
else
  decide({ state = 'rejected', cause = kind == 'denied' and 'denied' or 'failed', reason = reason,
    new_version = '', log = log, dead = kind == 'dead' })
end
announce()
return { 'ok', kind == 'applied' and 'applied' or 'rejected', version }
