-- The fields of an issue as a table of texts, empty if it does not exist. Also the list from Redis.
local function read_issue(key)
  local fields, stored = {}, redis.call('HGETALL', key)
  for i = 1, #stored, 2 do fields[stored[i]] = stored[i + 1] end
  return fields, stored
end
local issue, stored = read_issue(K.issue)

-- Writes changed fields of the issue and raises its revision. `announce` publishes the change.
local function change(...)
  local changed = { ... }
  for i = 1, #changed, 2 do issue[changed[i]] = changed[i + 1] end
  issue.updated_at, issue.revision = at, int((issue.revision or 0) + 1)
  redis.call('HSET', K.issue, 'updated_at', issue.updated_at, 'revision', issue.revision, ...)
end

-- Returns a text as JSON. Only texts with escapes need cjson.
local function quoted(text)
  if string.find(text, '[%c"\\]') then return cjson.encode(text) end
  return '"' .. text .. '"'
end

-- Returns the issue's current state for watchers. Only the reason can need escapes: the other
-- values are ids, versions, numbers and fixed words.
local function event_of_issue()
  return '{"issue_id":"' .. id .. '","blueprint_id":"' .. bp .. '","state":"' .. issue.state
    .. '","cause":"' .. (issue.cause or '') .. '","new_version":"' .. (issue.new_version or '')
    .. '","worker_id":"' .. (issue.worker_id or '') .. '","retry_of":"' .. (issue.retry_of or '')
    .. '","attempt":' .. (issue.attempt or 0) .. ',"submitted_at_ms":' .. (issue.submitted_at or 0)
    .. ',"updated_at_ms":' .. issue.updated_at .. ',"revision":' .. issue.revision
    .. ',"reason":' .. quoted(issue.reason or '') .. '}'
end

-- Call it last. Events are hints, so a failed publish loses no data.
local function publish(issue_id, event)
  redis.pcall('PUBLISH', channel_of(issue_id), event)
  redis.pcall('PUBLISH', EVENTS, event)
end

-- Publishes the issue's current state.
local function announce() publish(id, event_of_issue()) end
