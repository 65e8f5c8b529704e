-- The argument of the call, and the keys of one issue and its queue. One key gives the prefix with
-- the hash tag, which all keys of a shard share.
-- KEYS  1 the backlog
-- ARGV  1 a map (MessagePack). Every script with this part has these fields:
--       blueprint_id; issue_id, '-' if none is meant;
--       holder: the worker whose processing list is meant, '-' without one
local arg = cmsgpack.unpack(ARGV[1])
local bp, id = arg.blueprint_id, arg.issue_id
local prefix = string.match(KEYS[1], '^{.-}:')
-- A test in keys.rs compares the names.
local K = {
  issue = prefix .. 'issue:' .. id,
  intent = prefix .. 'intent:' .. id,
  steps = prefix .. 'steps:' .. id,
  proposal = prefix .. 'proposal:' .. id,
  backlog = prefix .. 'backlog:' .. bp,
  decided_here = prefix .. 'decided:' .. bp,
  issues_here = prefix .. 'issues:' .. bp,
  blueprint = prefix .. 'blueprint:' .. bp,
  documents = prefix .. 'documents:' .. bp,
  commits = prefix .. 'commits:' .. bp,
  newest = prefix .. 'newest:' .. bp,
  labels = prefix .. 'labels:' .. bp,
  processing = prefix .. 'processing:' .. arg.holder,
  places = prefix .. 'places',
  pending = prefix .. 'pending',
  paused = prefix .. 'paused',
  leases = prefix .. 'leases',
  delayed = prefix .. 'delayed',
  waiting = prefix .. 'waiting',
  counts = prefix .. 'counts',
  log = prefix .. 'log',
  decided = prefix .. 'decided',
  dead = prefix .. 'dead',
  in_review = prefix .. 'in_review',
  review_due = prefix .. 'review_due',
  issues = prefix .. 'issues',
  fence = prefix .. 'fence',
  orbits = prefix .. 'orbits',
  settings_counter = prefix .. 'settings_counter',
  workers = prefix .. 'workers',
}
-- Returns the key with the same name of another issue, Blueprint or worker.
local function key_of(other, key) return string.match(key, '^{.-}:[^:]+:') .. other end
local element = bp .. '/' .. id
local EVENTS, CANCELLED = 'draftsman:events', 'draftsman:cancelled'
local function channel_of(issue_id) return EVENTS .. ':issue:' .. issue_id end

-- Redis's clock in milliseconds, as text and as a number. Redis formats number arguments of its
-- commands with printf. So `at` and constants are passed as text.
local t = redis.call('TIME')
local at = t[1] .. string.format('%03d', math.floor(t[2] / 1000))
local now = tonumber(at)

-- The maximum delay of an issue. A time beyond it, with a tolerance for small clock corrections,
-- was written before Redis's clock was set back.
local MAX_DELAY_MS, CLOCK_SLACK_MS = 600000, 60000
local function is_too_far(at, longest_ms)
  return at and longest_ms and tonumber(at) > now + longest_ms + CLOCK_SLACK_MS
end

-- Formats a whole number as text: Lua writes 1e+15 from 10^15 on.
local function int(n) return string.format('%.0f', n) end

-- Returns the id and the time of a backlog element `<issue_id>|<submitted ms>`.
local function parse_backlog(item) return string.match(item, '^(.-)|(%d+)$') end

-- Returns the id of the queue's head and the next two backlog elements; nil at the end of the
-- queue.
local function head_and_next()
  local items = redis.call('LRANGE', K.backlog, '0', '2')
  if items[1] then return (parse_backlog(items[1])), items[2], items[3] end
  return nil
end

local function head_of_queue() return (head_and_next()) end

-- Adds fields to a JSON object whose text ends in '}'. Scripts do not parse documents (rule 6).
local function stamp(json, fields) return string.sub(json, 1, -2) .. ',' .. fields .. '}' end
