-- Records the submit time of this queue's oldest unleased issue; `place` is the place of its head.
local function note_waiting(place)
  local item = redis.call('LINDEX', K.backlog, place == 'leased' and '1' or '0')
  if item then
    local _, since = parse_backlog(item)
    redis.call('ZADD', K.waiting, since, bp)
  else
    redis.call('ZREM', K.waiting, bp)
  end
end

local function is_paused()
  local paused = redis.call('HMGET', K.paused, '*', bp)
  return paused[1] or paused[2]
end

-- The only code that pushes to `pending`. It sets the place of the queue's head:
-- queue empty -> none; this Blueprint or everything paused -> parked; otherwise ready.
-- given_back: true places it for the next pop, false behind all waiting elements.
-- item: the backlog element of the head, false for an empty queue; nil reads it.
-- is_noted: true if `waiting` already names the head, because the previous head was leased.
local function place_head(given_back, item, is_noted)
  if item == nil then item = redis.call('LINDEX', K.backlog, '0') end
  if not item then
    redis.call('HDEL', K.places, bp)
    if not is_noted then redis.call('ZREM', K.waiting, bp) end
    return
  end
  local head, since = parse_backlog(item)
  if is_paused() then
    redis.call('HSET', K.places, bp, 'parked')
  else
    redis.call('HSET', K.places, bp, 'ready')
    redis.call(given_back and 'RPUSH' or 'LPUSH', K.pending, bp .. '/' .. head)
  end
  if not is_noted then redis.call('ZADD', K.waiting, since, bp) end
end
