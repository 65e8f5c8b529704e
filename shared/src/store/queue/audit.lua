#!lua flags=allow-oom
-- Compares a queue's place with its actual state and repairs it. A mismatch means a fault of Redis
-- or of a script. A lease or a delay beyond its maximum is also wrong: Redis's clock was set back.
-- KEYS, ARGV  of include/keys.lua, with the head that the caller read, '-' for an empty queue, and
--       without a holder. ARGV also has: workers, all that the caller read
-- Outcomes  sound | repaired: the wrong place or 'none'
--   placed: a pending resume had not reached it yet
--   moved: the head or the set of workers changed; an unchecked list may have the element
--@include keys
--@include place_head
local head = head_of_queue()
if (head or '-') ~= id or redis.call('ZCARD', K.workers) ~= #arg.workers then return { 'moved' } end
for _, worker in ipairs(arg.workers) do
  if not redis.call('ZSCORE', K.workers, worker) then return { 'moved' } end
end
local place = redis.call('HGET', K.places, bp)
local state, lease_ms = unpack(redis.call('HMGET', K.issue, 'state', 'lease_ms'))
local leased = redis.call('ZSCORE', K.leases, element)
local delayed = redis.call('ZSCORE', K.delayed, element)
local is_overlong_lease = state == 'in_flight' and is_too_far(leased, tonumber(lease_ms or ''))
local is_overlong_delay = is_too_far(delayed, MAX_DELAY_MS)

local function listed()
  if redis.call('LPOS', K.pending, element) then return true end
  for _, worker in ipairs(arg.workers) do
    if redis.call('LPOS', key_of(worker, K.processing), element) then return true end
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
