#!lua flags=allow-oom
-- Takes an issue from a worker whose lease expired. Idempotent, for any number of callers.
-- An issue with too many worker deaths is decided, but only if the last one happened in an
-- exclusive run. In a shared run, another issue can be the cause.
-- KEYS, ARGV  of include/keys.lua, with the holder that the caller read. ARGV also has:
--       max_attempts; jitter, 0 to 1; log: log entry
-- Outcomes  delayed: ms | dead: decided, failed | alive: the lease has not expired | gone: no lease
--   moved: another worker holds it now
--@include keys
--@include place_head
--@include announce
--@include leave_queue
--@include decide
local holder, max_attempts, jitter, log = arg.holder, arg.max_attempts, arg.jitter, arg.log

local expires = redis.call('ZSCORE', K.leases, element)
if not expires then return { 'gone' } end
if tonumber(expires) > now then return { 'alive' } end
if issue.state ~= 'in_flight' then
  redis.call('ZREM', K.leases, element)
  return { 'gone' }
end
if issue.worker_id ~= holder then return { 'moved' } end

redis.call('HINCRBY', K.counts, 'reaped', 1)
local deaths = redis.call('HINCRBY', K.issue, 'deaths', 1)
if deaths >= max_attempts and issue.alone then
  local reason = 'dispatch failed after ' .. issue.attempt .. ' attempts: the worker died or stalled each time; last ' .. holder
  decide({ state = 'rejected', cause = 'failed', reason = reason, new_version = '', dead = true,
    log = failed_log(log, reason) })
  redis.call('HDEL', K.issue, 'token')
  announce()
  return { 'dead' }
end
local delay = math.floor(math.min(60000, 1000 * 2 ^ (deaths - 1)) * jitter)
redis.call('ZREM', K.leases, element)
redis.call('LREM', K.processing, 0, element)
redis.call('HDEL', K.issue, 'token', 'nonce', 'alone')
change('state', 'pending', 'reason', 'worker ' .. holder .. ' let its lease run out')
redis.call('HINCRBY', K.counts, 'pending', 1)
redis.call('ZADD', K.delayed, now + delay, element)
redis.call('HSET', K.places, bp, 'delayed')
note_waiting('delayed')
announce()
return { 'delayed', delay }
