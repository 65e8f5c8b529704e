-- Shared by claim and settle: grants a lease and builds the reply for its worker.
local fence, settings_counter, orbits = K.fence, K.settings_counter, K.orbits

-- Leases the queue's head to this worker: a new token, one more attempt. Precondition: the head is
-- free. The caller sets its place and calls `announce`.
--   behind: the backlog element behind the head, or nil
local function grant(worker, nonce, lease_ms, behind)
  local token = int(redis.call('INCR', fence)) .. '-' .. nonce
  -- lease_ms bounds the duration of the lease for the audit.
  -- claimed_at separates waiting from running in the figures of activity.
  change('state', 'in_flight', 'claimed_at', at, 'token', token, 'nonce', nonce, 'worker_id', worker,
    'attempt', tostring(tonumber(issue.attempt) + 1), 'reason', '', 'lease_ms', int(lease_ms))
  redis.call('ZADD', K.leases, int(now + lease_ms), element)
  redis.call('HINCRBY', K.counts, 'pending', '-1')
  if behind then
    local _, since = parse_backlog(behind)
    redis.call('ZADD', K.waiting, since, bp)
  else
    redis.call('ZREM', K.waiting, bp)
  end
end

-- Returns the worker's data for its issue: token, attempt, retries, submitted_at, intent, now,
-- settings counter, seq, version, document or '', trace or '', submitted_by or '', stored patch
-- (JSON) or ''. The document is '' if the head is `known_version`. The stored patch is that of a
-- proposal whose approval found another head.
local function told_to_worker(seq, version, known_version, counter)
  local document = ''
  if version ~= known_version then document = redis.call('HGET', K.documents, version) or '' end
  return issue.token, tonumber(issue.attempt), tonumber(issue.retries or 0), tonumber(issue.submitted_at),
    redis.call('GET', K.intent), now, tonumber(counter), tonumber(seq), version,
    document, issue.trace or '', issue.submitted_by or '',
    issue.round and redis.call('HGET', K.proposal, 'patch') or ''
end
