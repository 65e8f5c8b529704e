-- The keys of one issue and its queue, in the order of `Keys::issue_block` in keys.rs.
local K = {
  issue = KEYS[1], intent = KEYS[2], backlog = KEYS[3], places = KEYS[4], pending = KEYS[5],
  paused = KEYS[6], leases = KEYS[7], delayed = KEYS[8], waiting = KEYS[9], counts = KEYS[10],
  log = KEYS[11], decided = KEYS[12], decided_here = KEYS[13], dead = KEYS[14], processing = KEYS[15],
  steps = KEYS[16],
}
local bp, id, channel, issue_channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local element = bp .. '/' .. id

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
