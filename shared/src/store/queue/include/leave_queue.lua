-- Removes the issue from its queue: lease, processing entry, step cache, place. A decision and a
-- proposal use it. Precondition: the issue is pending or in flight. Call it before `change`.
--   take: called with the backlog element behind a leased head; if it returns a value, the next
--   head is not placed, and `leave_queue` returns that value and the backlog element behind the
--   next head
local function leave_queue(take)
  local head, behind, third = head_and_next()
  local was_head = head == id
  local is_leased = was_head and issue.state == 'in_flight'
  local place = is_leased and 'leased' or redis.call('HGET', K.places, bp)
  local taken = take and is_leased and behind and take(behind)

  redis.call('ZREM', K.leases, element)
  redis.call('LREM', K.processing, '0', element)
  redis.call('UNLINK', K.steps)
  if issue.state == 'pending' then redis.call('HINCRBY', K.counts, 'pending', '-1') end

  if was_head then
    redis.call('LPOP', K.backlog)
    if place == 'ready' then redis.call('LREM', K.pending, '0', element) end
    if place == 'delayed' then redis.call('ZREM', K.delayed, element) end
    if taken then return taken, third end
    place_head(false, behind or false, is_leased)
  else
    redis.call('LREM', K.backlog, '1', id .. '|' .. (issue.joined_at or issue.submitted_at))
    note_waiting(place)
  end
end
