-- Appends the issue to its Blueprint's queue, and places it if it is the head.
local function join_queue()
  local item = id .. '|' .. at
  local length = redis.call('RPUSH', K.backlog, item)
  redis.call('HINCRBY', K.counts, 'pending', '1')
  local place = redis.call('HGET', K.places, bp)
  if not place then
    place_head(false, length == 1 and item or nil)
  elseif place == 'leased' and length == 2 then
    -- In every other case an older issue is already waiting.
    redis.call('ZADD', K.waiting, at, bp)
  end
end
