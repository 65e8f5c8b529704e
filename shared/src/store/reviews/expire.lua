#!lua flags=allow-oom
-- Declines an issue that nobody reviewed in time. Idempotent, for any number of callers.
-- KEYS, ARGV  of include/keys.lua, without a holder
-- Outcomes  expired | waits: not due | gone: not in review
--@include keys
--@include place_head
--@include announce
--@include leave_queue
--@include decide
--@include review
if issue.state ~= 'in_review' then
  redis.call('ZREM', K.review_due, element)
  return { 'gone' }
end

return { decline_if_due(read_proposal()) and 'expired' or 'waits' }
