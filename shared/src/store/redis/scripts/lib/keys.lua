-- The keys of one issue and its queue, in the order of `Keys::issue_block` in keys.rs.
local K = {
  issue = KEYS[1], intent = KEYS[2], backlog = KEYS[3], places = KEYS[4], pending = KEYS[5],
  paused = KEYS[6], leases = KEYS[7], delayed = KEYS[8], waiting = KEYS[9], counts = KEYS[10],
  log = KEYS[11], decided = KEYS[12], decided_here = KEYS[13], dead = KEYS[14], processing = KEYS[15],
  steps = KEYS[16],
}
local bp, id, channel, issue_channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local element = bp .. '/' .. id

local function server_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local now = server_ms()

-- No issue is delayed for longer than this. A time that lies further ahead, beyond small corrections
-- of the clock, was written before Redis's clock was set back.
local MAX_DELAY_MS, CLOCK_SLACK_MS = 600000, 60000
local function is_too_far(at, longest_ms)
  return at and longest_ms and tonumber(at) > now + longest_ms + CLOCK_SLACK_MS
end

-- A whole number as text: Lua would write 1e+15 from 10^15 on.
local function int(n) return string.format('%.0f', n) end

-- The id of a backlog element `<issue_id>|<submitted ms>`, and its time.
local function parse_backlog(item) return string.match(item, '^(.-)|(%d+)$') end

local function head_of_queue()
  local item = redis.call('LINDEX', K.backlog, 0)
  if item then return parse_backlog(item) end
  return nil
end

-- Adds fields to a JSON object whose text ends in '}': documents stay opaque (rule 6).
local function stamp(json, fields) return string.sub(json, 1, -2) .. ',' .. fields .. '}' end
