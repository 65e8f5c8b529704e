-- The issue's fields as they are, all text; none if there is no such issue.
local issue = {}
local stored = redis.call('HGETALL', K.issue)
for i = 1, #stored, 2 do issue[stored[i]] = stored[i + 1] end

-- Writes what changed on the issue and raises its revision; `announce` then says so.
local function change(...)
  local changed = { ... }
  for i = 1, #changed, 2 do issue[changed[i]] = changed[i + 1] end
  issue.updated_at, issue.revision = at, int((issue.revision or 0) + 1)
  redis.call('HSET', K.issue, 'updated_at', issue.updated_at, 'revision', issue.revision, ...)
end

-- Returns a text as JSON. cjson is called only for what needs escapes.
local function quoted(text)
  if string.find(text, '[%c"\\]') then return cjson.encode(text) end
  return '"' .. text .. '"'
end

-- Publishes the issue as it now is. Comes last; a publish that fails loses a hint, not a fact.
-- Only the reason may need escapes: the rest are ids, versions, numbers and words of ours.
local function announce()
  local event = '{"issue_id":"' .. id .. '","blueprint_id":"' .. bp .. '","state":"' .. issue.state
    .. '","cause":"' .. (issue.cause or '') .. '","new_version":"' .. (issue.new_version or '')
    .. '","worker_id":"' .. (issue.worker_id or '') .. '","retry_of":"' .. (issue.retry_of or '')
    .. '","attempt":' .. (issue.attempt or 0) .. ',"submitted_at_ms":' .. (issue.submitted_at or 0)
    .. ',"updated_at_ms":' .. issue.updated_at .. ',"revision":' .. issue.revision
    .. ',"reason":' .. quoted(issue.reason or '') .. '}'
  redis.pcall('PUBLISH', issue_channel, event)
  redis.pcall('PUBLISH', channel, event)
end
