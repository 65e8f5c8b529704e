#!lua flags=no-writes
-- Returns the content of Redis as text: one line for each issue and each Blueprint, and one for
-- the lists. `content.rs` writes the same text for a state of the model.
-- KEYS  1 pending; 2 places; 3 paused; 4 leases; 5 delayed; 6 fence; 7 log; 8 decided; 9 dead;
--       10 in_review; 11 review_due; then hash and proposal of each issue; then backlog, head and
--       commits of each Blueprint; then the processing list of each worker
-- ARGV  1 number of issues; 2 number of Blueprints; 3.. the element of each issue
local n_issues, n_blueprints = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lines = {}

-- Removes the Blueprint from elements, and the time from items of a backlog.
local function ids(list)
  local names = {}
  for i, item in ipairs(list) do names[i] = string.match(item, '^[^/]*/(.*)$') or string.match(item, '^[^|]*') end
  return '[' .. table.concat(names, ' ') .. ']'
end

local function state_of(id, f)
  if f.state ~= 'rejected' then return f.state end
  if f.cause ~= 'failed' then return f.cause end
  if redis.call('ZSCORE', KEYS[9], id) then return 'dead' end
  return string.find(f.reason, 'ORBIT_NEEDS_ADMIN', 1, true) and 'refused' or 'failed'
end

-- The first commit is number 0 of the model.
local function proposal_of(key)
  local base = redis.call('HGET', key, 'base_seq')
  return base and string.format('%.0f', base - 1) or '-'
end
local function is_due(element)
  local due = redis.call('ZSCORE', KEYS[11], element)
  return due and tonumber(due) <= now
end

for i = 1, n_issues do
  local element = ARGV[2 + i]
  local id, f = string.match(element, '/(.*)$'), {}
  local fields = redis.call('HGETALL', KEYS[10 + 2 * i])
  for k = 1, #fields, 2 do f[fields[k]] = fields[k + 1] end
  if not f.state then
    lines[#lines + 1] = id .. ' unknown'
  else
    local expires = redis.call('ZSCORE', KEYS[4], element)
    local lease = not expires and 'none' or tonumber(expires) > now and 'valid' or 'expired'
    local entry = redis.call('HGET', KEYS[7], id)
    entry = entry and cjson.decode(entry)
    lines[#lines + 1] = id .. ' ' .. state_of(id, f) .. ' attempt ' .. f.attempt
      .. ' retries ' .. (f.retries or '0') .. ' deaths ' .. (f.deaths or '0')
      .. ' alone ' .. (f.alone or '0') .. ' token ' .. (f.token or '-') .. ' nonce ' .. (f.nonce or '-')
      .. ' worker ' .. (f.worker_id or '-') .. ' lease ' .. lease
      .. ' delayed ' .. (redis.call('ZSCORE', KEYS[5], element) and '1' or '0')
      .. ' round ' .. (f.round or '0') .. ' proposal ' .. proposal_of(KEYS[11 + 2 * i])
      .. ' review ' .. (redis.call('ZSCORE', KEYS[10], id) and '1' or '0')
      .. ' due ' .. (is_due(element) and '1' or '0')
      .. ' log ' .. (entry and (entry.cause == '' and 'applied' or entry.cause) .. '@' .. entry.attempt or '-')
  end
end
for b = 0, n_blueprints - 1 do
  local at, name = 11 + 2 * n_issues + 3 * b, 'b' .. b
  local seq_of, commits, texts = {}, {}, {}
  for _, json in ipairs(redis.call('HVALS', KEYS[at + 3])) do
    local commit = cjson.decode(json)
    seq_of[commit.version], commits[commit.seq] = commit.seq - 1, commit
  end
  -- The first commit is the version that the model starts with.
  for seq = 2, #commits do
    local commit = commits[seq]
    texts[#texts + 1] = (seq - 1) .. '<' .. seq_of[commit.parents[1]]
      .. ' by ' .. (commit.issue_id == '' and '-' or commit.issue_id)
  end
  lines[#lines + 1] = name .. ' ' .. (redis.call('HGET', KEYS[2], name) or 'none')
    .. ' backlog ' .. ids(redis.call('LRANGE', KEYS[at + 1], 0, -1))
    .. ' paused ' .. redis.call('HEXISTS', KEYS[3], name)
    .. ' head ' .. (redis.call('HGET', KEYS[at + 2], 'seq') - 1)
    .. ' commits [' .. table.concat(texts, ' ') .. ']'
end
local lists = 'pending ' .. ids(redis.call('LRANGE', KEYS[1], 0, -1))
for k = 12 + 2 * n_issues + 3 * n_blueprints, #KEYS do
  lists = lists .. ' processing ' .. ids(redis.call('LRANGE', KEYS[k], 0, -1))
end
lines[#lines + 1] = lists .. ' decided ' .. ids(redis.call('LRANGE', KEYS[8], 0, -1))
  .. ' fence ' .. (redis.call('GET', KEYS[6]) or '0')
return table.concat(lines, '\n')
