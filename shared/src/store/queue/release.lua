#!lua flags=allow-oom
-- Returns a leased issue to its queue without a decision.
-- KEYS, ARGV  of include/keys.lua, with the caller as holder. ARGV also has:
--       token; mode: shutdown | fault | busy; fault and busy: delay_ms, reason
-- Outcomes  ok | stale: the caller no longer holds the issue, which counts as success
--   shutdown: available at once, and the attempt does not count. fault: delayed, one more retry.
--   busy: delayed. The maximum delay is ten minutes
--@include keys
--@include place_head
--@include announce
local token, mode, delay_ms, reason = arg.token, arg.mode, arg.delay_ms, arg.reason

if issue.state ~= 'in_flight' or issue.token ~= token then return { 'stale' } end

redis.call('ZREM', K.leases, element)
redis.call('LREM', K.processing, 0, element)
redis.call('HINCRBY', K.counts, 'pending', 1)
redis.call('HDEL', K.issue, 'token', 'nonce', 'alone')
if mode == 'shutdown' then
  change('state', 'pending', 'attempt', tonumber(issue.attempt) - 1)
  place_head(true)
else
  local retries = tonumber(issue.retries or 0)
  if mode == 'fault' then
    retries = retries + 1
    redis.call('HINCRBY', K.counts, 'retries', 1)
  end
  change('state', 'pending', 'retries', retries, 'reason', reason)
  redis.call('ZADD', K.delayed, now + math.min(delay_ms, MAX_DELAY_MS), element)
  redis.call('HSET', K.places, bp, 'delayed')
  note_waiting('delayed')
end
announce()
return { 'ok' }
