-- Returns a member of a JSON object with an actor and a comma; '' without an actor, as in issues of
-- earlier releases.
local function actor_member(name, actor)
  return actor and '"' .. name .. '":' .. quoted(actor) .. ',' or ''
end

-- Ends an issue: state, log entry, queue, next head, lease, processing entry, step cache, counters.
-- Every decision uses it, so no decision omits a part. Precondition: the issue is not terminal.
-- The caller calls `announce` after its own writes.
--   how: state, cause, reason, new_version, log (JSON without attempt, ts_ms and actors), dead;
--   by: the actor of a decision that is not the flow's, or nil;
--   take: called with the backlog element behind a leased head; if it returns a value, the next
--   head is not placed, and `decide` returns that value and the backlog element behind the next
--   head
local function decide(how)
  local was_pending = issue.state == 'pending'
  local head, behind, third = head_and_next()
  local was_head = head == id
  local is_leased = was_head and issue.state == 'in_flight'
  local place = is_leased and 'leased' or redis.call('HGET', K.places, bp)
  local taken = how.take and is_leased and behind and how.take(behind)

  change('state', how.state, 'cause', how.cause, 'reason', how.reason, 'new_version', how.new_version)
  if how.by then redis.call('HSET', K.issue, 'decided_by', how.by) end
  redis.call('HSET', K.log, id,
    stamp(how.log, actor_member('submitted_by', issue.submitted_by) .. actor_member('decided_by', how.by)
      .. '"attempt":' .. (issue.attempt or '0') .. ',"ts_ms":' .. at))
  redis.call('RPUSH', K.decided, id)
  redis.call('RPUSH', K.decided_here, id)
  if how.dead then redis.call('ZADD', K.dead, at, id) end

  redis.call('ZREM', K.leases, element)
  redis.call('LREM', K.processing, '0', element)
  redis.call('UNLINK', K.steps)
  if was_pending then redis.call('HINCRBY', K.counts, 'pending', '-1') end
  redis.call('HINCRBY', K.counts, how.state == 'applied' and 'applied' or how.cause, '1')

  if was_head then
    redis.call('LPOP', K.backlog)
    if place == 'ready' then redis.call('LREM', K.pending, '0', element) end
    if place == 'delayed' then redis.call('ZREM', K.delayed, element) end
    if taken then return taken, third end
    place_head(false, behind or false, is_leased)
  else
    redis.call('LREM', K.backlog, '1', id .. '|' .. issue.submitted_at)
    note_waiting(place)
  end
end

local ARCHIVED = 'blueprint is archived; unarchive it and retry'

-- Returns a log entry for a decision without a flow.
local function failed_log(base, reason)
  return stamp(base, '"reasons":[' .. cjson.encode(reason) .. ']')
end
