-- Publishes the issue as it now is. Comes last; a publish that fails loses a hint, not a fact.
local function announce()
  local flat = redis.call('HGETALL', K.issue)
  local f = {}
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  local event = cjson.encode({
    issue_id = id, blueprint_id = bp, state = f.state, cause = f.cause or '', reason = f.reason or '',
    new_version = f.new_version or '', attempt = tonumber(f.attempt or 0), worker_id = f.worker_id or '',
    retry_of = f.retry_of or '', submitted_at_ms = tonumber(f.submitted_at),
    updated_at_ms = tonumber(f.updated_at), revision = tonumber(f.revision),
  })
  redis.pcall('PUBLISH', issue_channel, event)
  redis.pcall('PUBLISH', channel, event)
end

-- Writes what changed on the issue, raises its revision, then says so.
local function change(...)
  redis.call('HSET', K.issue, 'updated_at', int(now), ...)
  redis.call('HINCRBY', K.issue, 'revision', 1)
end
