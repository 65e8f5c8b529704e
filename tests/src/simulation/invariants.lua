#!lua flags=no-writes
-- Checks all undecided issues, and the subject of the last call, against the rules of the queue.
-- Reads only; its cost does not depend on the number of decided issues.
-- KEYS  1 pending; 2 places; 3 leases; 4 delayed; 5 waiting; 6 counts; 7 log; 8 decided; 9 issues;
--       10 workers; 11 dead; 12 paused; 13 in_review; 14 review_due
-- ARGV  1-7 the key prefixes of: issue, backlog, processing, blueprint, documents, commits, newest;
--       8 max attempts; 9 the Blueprint and 10 the issue of the last call, or ''; 11 '1' if its
--       queue must be parked or empty; 12 a worker whose list no longer has the issue, or ''; 13..
--       every Blueprint
-- Returns the number of decided issues, the last one, the numbers of expired leases and of due
-- delayed issues, then one text for each violated rule: `rule: what`
local issue_of, backlog_of, processing_of = ARGV[1], ARGV[2], ARGV[3]
local blueprint_of, documents_of, commits_of, newest_of = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local max_attempts, last_bp, last_id = tonumber(ARGV[8]), ARGV[9], ARGV[10]
local call, found = redis.call, {}

-- The arguments after the rule are formatted only if the rule is violated.
local function hold(is_true, rule, ...)
  if is_true then return end
  local words = { ... }
  for i = 1, #words do words[i] = tostring(words[i]) end
  found[#found + 1] = rule .. ': ' .. table.concat(words)
end

local function scores(key)
  local flat, by = call('ZRANGE', key, 0, -1, 'WITHSCORES'), {}
  for i = 1, #flat, 2 do by[flat[i]] = tonumber(flat[i + 1]) end
  return by
end

local in_pending, holders, places = {}, {}, {}
for _, element in ipairs(call('LRANGE', KEYS[1], 0, -1)) do
  in_pending[element] = (in_pending[element] or 0) + 1
end
for _, worker in ipairs(call('ZRANGE', KEYS[10], 0, -1)) do
  for _, element in ipairs(call('LRANGE', processing_of .. worker, 0, -1)) do
    holders[element] = holders[element] or {}
    table.insert(holders[element], worker)
  end
end
local flat = call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do places[flat[i]] = flat[i + 1] end
local leases, delayed, waiting = scores(KEYS[3]), scores(KEYS[4]), scores(KEYS[5])

-- Each queue: its content, and that its head is where its place says.
local heads, open, n_open, n_pending = {}, {}, 0, 0
for i = 13, #ARGV do
  local bp = ARGV[i]
  local place, since, last_at = places[bp], {}, 0
  for at, item in ipairs(call('LRANGE', backlog_of .. bp, 0, -1)) do
    local id, submitted = string.match(item, '^(.-)|(%d+)$')
    local element = bp .. '/' .. id
    local f = call('HMGET', issue_of .. id,
      'state', 'blueprint_id', 'submitted_at', 'token', 'worker_id', 'deaths', 'joined_at')
    hold(not open[element], 'queue', element, ' is queued twice')
    hold(f[2] == bp and (f[7] or f[3]) == submitted, 'queue', element, ' does not belong there')
    hold(tonumber(submitted) >= last_at, 'queue', element, ' is not in order')
    hold(tonumber(f[6] or 0) <= max_attempts, 'attempts', element, ' has killed too many workers')
    open[element], n_open, last_at, since[at] =
      true, n_open + 1, tonumber(submitted), tonumber(submitted)
    if f[1] == 'pending' then
      n_pending = n_pending + 1
      hold(not f[4], 'token', element, ' is pending and has one')
    else
      hold(at == 1 and f[1] == 'in_flight', 'queue', element, ' is ', f[1], ' at ', at)
      hold(f[4] and f[4] ~= '' and f[5] and f[5] ~= '', 'token',
        element, ' is in flight and has none')
    end
    if at == 1 then
      heads[bp] = element
      local held, leased, later =
        holders[element] or {}, leases[element] ~= nil, delayed[element] ~= nil
      local copies, is_true = (in_pending[element] or 0) + #held, false
      if place == 'ready' then
        is_true = copies == 1 and not leased and not later and f[1] == 'pending'
      elseif place == 'leased' then
        -- A reaper may have emptied the list of a worker that it took for dead.
        local own = #held == 0 or (#held == 1 and held[1] == f[5])
        is_true = not in_pending[element] and own and leased and not later and f[1] == 'in_flight'
      elseif place == 'delayed' then
        is_true = copies == 0 and not leased and later and f[1] == 'pending'
      elseif place == 'parked' then
        local marks = call('HMGET', KEYS[12], '*', bp)
        is_true = (marks[1] or marks[2]) and copies == 0 and not leased and not later
          and f[1] == 'pending'
      end
      hold(is_true, 'place',
        element, ' is ', f[1], ' and ', place or 'nowhere', ', ', in_pending[element] or 0,
        ' times in pending and ', #held, ' times popped, leased: ', leased, ', delayed: ', later)
    end
  end
  hold(heads[bp] or not place, 'place', bp, ' is ', place, ' and its queue is empty')
  hold(waiting[bp] == since[place == 'leased' and 2 or 1], 'waiting',
    bp, ' waits since ', waiting[bp] or 'never')
end

-- Each element: that it is in no other list.
local function stray(name, elements, place, other)
  for element in pairs(elements) do
    local bp = string.match(element, '^(.-)/')
    local is_there = heads[bp] == element and (places[bp] == place or places[bp] == other)
    -- An element whose issue was decided after the pop stays in a processing list until it is
    -- claimed.
    local is_stale = other and not open[element]
    hold(is_there or is_stale, 'stray',
      name, ' has ', element, ', not the head of a ', place, ' queue')
  end
end
stray('pending', in_pending, 'ready')
stray('leases', leases, 'leased')
stray('delayed', delayed, 'delayed')
stray('a processing list', holders, 'ready', 'leased')

for _, worker in ipairs(holders[last_bp .. '/' .. last_id] or {}) do
  hold(worker ~= ARGV[12], 'stray', worker, ' still has ', last_id, ' in its list')
end

-- The counters, and that no issue is lost.
local c = call('HMGET', KEYS[6],
  'pending', 'submitted', 'applied', 'denied', 'failed', 'cancelled', 'declined')
for i = 1, 7 do c[i] = tonumber(c[i] or 0) end
local n_decided, n_issues = call('LLEN', KEYS[8]), call('ZCARD', KEYS[9])
hold(c[1] == n_pending, 'counts', n_pending, ' are pending, counted are ', c[1])
hold(c[2] == n_issues, 'counts', n_issues, ' are submitted, counted are ', c[2])
hold(c[3] + c[4] + c[5] + c[6] + c[7] == n_decided, 'counts',
  n_decided, ' are decided, counted are others')
-- Each issue in review: that it is in no queue and has a proposal.
local n_in_review = call('ZCARD', KEYS[13])
for id in pairs(scores(KEYS[13])) do
  local f = call('HMGET', issue_of .. id, 'state', 'blueprint_id', 'round')
  local element = f[2] .. '/' .. id
  hold(f[1] == 'in_review' and f[3] and not open[element], 'review', element, ' is ', f[1])
end
for element in pairs(scores(KEYS[14])) do
  hold(call('ZSCORE', KEYS[13], string.match(element, '/(.*)$')), 'review',
    element, ' can expire and is not in review')
end
hold(n_open + n_decided + n_in_review == n_issues, 'lost',
  n_open, ' are open, ', n_in_review, ' in review and ', n_decided, ' decided, of ', n_issues)
hold(call('HLEN', KEYS[7]) == n_decided, 'log',
  'it has not one entry for each of the ', n_decided, ' decided')

hold(ARGV[11] == '' or (places[last_bp] or 'parked') == 'parked', 'paused',
  last_bp, ' is placed all the same')

-- The history of the Blueprint of the last call.
local head = { false, false }
if last_bp ~= '' then
  head = call('HMGET', blueprint_of .. last_bp, 'seq', 'version')
  local seq = tonumber(head[1])
  local commit = cjson.decode(call('HGET', commits_of .. last_bp, head[1]) or '{"parents":[]}')
  local before = cjson.decode(
    call('HGET', commits_of .. last_bp, string.format('%.0f', seq - 1)) or '{}')
  hold(call('HLEN', commits_of .. last_bp) == seq, 'chain',
    last_bp, ' has not as many commits as ', seq)
  hold(commit.version == head[2] and commit.seq == seq, 'chain',
    last_bp, ' has a head that is not its last commit')
  hold(commit.parents[1] == before.version and #commit.parents < 2, 'chain',
    last_bp, ' has a commit without its parent')
  hold(call('HGET', newest_of .. last_bp, head[2]) == head[1], 'chain',
    last_bp, ' has another newest commit')
  hold(call('HEXISTS', documents_of .. last_bp, head[2]) == 1, 'chain',
    last_bp, ' has no document of its head')
end

-- The issue of the last call: once decided, the log and the commit agree with it.
if last_id ~= '' then
  local f = call('HMGET', issue_of .. last_id,
    'state', 'cause', 'new_version', 'attempt', 'updated_at')
  if f[1] == 'applied' or f[1] == 'rejected' then
    local entry = cjson.decode(call('HGET', KEYS[7], last_id) or '{}')
    local is_same = entry.cause == f[2] and entry.new_hash == f[3]
      and entry.attempt == tonumber(f[4])
      and entry.ts_ms == tonumber(f[5])
    hold(is_same, 'log', last_id, ' says something else')
    if f[1] == 'applied' then
      local seq = call('HGET', newest_of .. last_bp, f[3] or '')
      local commit = cjson.decode(seq and call('HGET', commits_of .. last_bp, seq) or '{}')
      hold(commit.issue_id == last_id, 'chain', last_id, ' is applied and has no commit')
    end
  end
end
local t = call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local function n_past(times)
  local n = 0
  for _, at in pairs(times) do if at <= now then n = n + 1 end end
  return tostring(n)
end
return {
  tostring(n_decided), call('LINDEX', KEYS[8], -1) or '', n_past(leases), n_past(delayed),
  unpack(found)
}
