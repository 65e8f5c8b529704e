#!lua flags=allow-oom
-- Compares a queue's place with its actual state and repairs it. A mismatch means a fault of Redis
-- or of a script. A lease or a delay beyond its maximum is also wrong: Redis's clock was set back.
-- KEYS  1-16 the issue block of the queue's head; 17 workers;
--       18.. the processing list of each worker
-- ARGV  1 blueprint_id; 2 the head that the caller read, or '-' for an empty queue; 3 channel;
--       4 issue channel; 5.. the worker of each list
-- Outcomes  sound | repaired: the wrong place or 'none'
--   placed: a pending resume had not reached it yet
--   moved: the head or the set of workers changed; an unchecked list may have the element
--@include keys
--@include place_head
local head = head_of_queue()
if (head or '-') ~= id or redis.call('ZCARD', KEYS[17]) ~= #KEYS - 17 then return { 'moved' } end
for i = 5, #ARGV do
  if not redis.call('ZSCORE', KEYS[17], ARGV[i]) then return { 'moved' } end
end
local place = redis.call('HGET', K.places, bp)
local state, lease_ms = unpack(redis.call('HMGET', K.issue, 'state', 'lease_ms'))
local leased = redis.call('ZSCORE', K.leases, element)
local delayed = redis.call('ZSCORE', K.delayed, element)
local is_overlong_lease = state == 'in_flight' and is_too_far(leased, tonumber(lease_ms or ''))
local is_overlong_delay = is_too_far(delayed, MAX_DELAY_MS)

local function listed()
  if redis.call('LPOS', K.pending, element) then return true end
  for i = 18, #KEYS do
    if redis.call('LPOS', KEYS[i], element) then return true end
  end
  return false
end
local function sound()
  if not head then return not place end
  if place == 'leased' then return state == 'in_flight' and leased and not is_overlong_lease end
  if state ~= 'pending' then return false end
  if place == 'ready' then return listed() end
  if place == 'delayed' then return delayed and not is_overlong_delay end
  if place == 'parked' then
    local paused = redis.call('HMGET', K.paused, '*', bp)
    return paused[1] or paused[2]
  end
  return false
end
if sound() then return { 'sound' } end
if place == 'parked' and state == 'pending' and not delayed and not listed() then
  place_head(false)
  return { 'placed' }
end

redis.call('HINCRBY', K.counts, 'repaired', 1)
if head and state == 'in_flight' then
  -- The lease has expired, and the reaper takes over. A lease beyond its maximum starts again,
  -- unless its holder extends it.
  if is_overlong_lease then redis.call('ZADD', K.leases, now + lease_ms, element)
  else redis.call('ZADD', K.leases, 'NX', now, element) end
  redis.call('HSET', K.places, bp, 'leased')
elseif head and state ~= 'pending' then
  redis.call('LPOP', K.backlog)
  place_head(true)
elseif head and delayed then
  if is_overlong_delay then redis.call('ZADD', K.delayed, now, element) end
  redis.call('HSET', K.places, bp, 'delayed')
elseif head and listed() then
  -- Not pushed a second time: the claim checks whether the queue is paused.
  redis.call('HSET', K.places, bp, 'ready')
else
  place_head(true)
end
return { 'repaired', place or 'none' }
