-- The only code that pushes on `pending`. Looks at the queue's head and puts it where it belongs:
-- queue empty -> none; this Blueprint or everything paused -> parked; else ready.
-- given_back: true puts it where the next pop takes it, false behind what waits already.
local function place_head(given_back)
  local head, since = head_of_queue()
  if not head then
    redis.call('HDEL', K.places, bp)
    redis.call('ZREM', K.waiting, bp)
    return
  end
  redis.call('ZADD', K.waiting, since, bp)
  local paused = redis.call('HMGET', K.paused, '*', bp)
  if paused[1] or paused[2] then
    redis.call('HSET', K.places, bp, 'parked')
    return
  end
  redis.call('HSET', K.places, bp, 'ready')
  redis.call(given_back and 'RPUSH' or 'LPUSH', K.pending, bp .. '/' .. head)
end
