-- Returns a member of a JSON object with an actor and a comma; '' without an actor, as in issues of
-- earlier releases.
local function actor_member(name, actor)
  return actor and '"' .. name .. '":' .. quoted(actor) .. ',' or ''
end

-- As `actor_member`, for the comment of an approval.
local function comment_member(comment)
  return comment and comment ~= '' and '"comment":' .. quoted(comment) .. ',' or ''
end

-- Ends an issue: state, log entry, queue, next head, lease, processing entry, step cache, proposal,
-- counters. Every decision uses it, so no decision omits a part. Precondition: the issue is not
-- terminal. The caller calls `announce` after its own writes.
--   how: state, cause, reason, new_version, log (JSON without attempt, ts_ms and actors), dead;
--   by, comment: of a decision that is not the flow's, or nil;
--   take: of `leave_queue`, whose results `decide` returns
local function decide(how)
  local taken, third
  if issue.state == 'in_review' then
    redis.call('ZREM', K.in_review, id)
    redis.call('ZREM', K.review_due, element)
  else
    taken, third = leave_queue(how.take)
  end
  if issue.round then redis.call('UNLINK', K.proposal) end

  change('state', how.state, 'cause', how.cause, 'reason', how.reason, 'new_version', how.new_version)
  if how.by then redis.call('HSET', K.issue, 'decided_by', how.by) end
  redis.call('HSET', K.log, id,
    stamp(how.log, actor_member('submitted_by', issue.submitted_by) .. actor_member('decided_by', how.by)
      .. comment_member(how.comment) .. '"attempt":' .. (issue.attempt or '0') .. ',"ts_ms":' .. at))
  redis.call('RPUSH', K.decided, id)
  redis.call('RPUSH', K.decided_here, id)
  if how.dead then redis.call('ZADD', K.dead, at, id) end
  redis.call('HINCRBY', K.counts, how.state == 'applied' and 'applied' or how.cause, '1')
  return taken, third
end

local ARCHIVED = 'blueprint is archived; unarchive it and retry'

-- Returns a log entry for a decision without a flow.
local function failed_log(base, reason)
  return stamp(base, '"reasons":[' .. cjson.encode(reason) .. ']')
end
