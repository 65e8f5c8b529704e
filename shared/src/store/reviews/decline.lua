#!lua flags=allow-oom
-- Rejects an issue in review.
-- KEYS, ARGV  of include/keys.lua, without a holder. ARGV also has:
--       reason; by: the actor of the caller
-- Outcomes  ok: fields; declined | again: fields; declined before
--   not_in_review: fields; decided otherwise, or not proposed | not_found
--@include keys
--@include place_head
--@include announce
--@include leave_queue
--@include decide
--@include review
if not issue.state then return { 'not_found' } end
if issue.state ~= 'in_review' then
  return { issue.cause == 'declined' and 'again' or 'not_in_review', stored }
end

local proposal = read_proposal()
if not decline_if_due(proposal) then decline(proposal, arg.reason, arg.by) end
return { 'ok', redis.call('HGETALL', K.issue) }
