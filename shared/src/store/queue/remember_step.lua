#!lua
-- Caches the result of a leased issue's step, so that a repeated run does not pay for it again.
-- Without allow-oom: a full Redis needs its memory for other data, and the step has its output
-- anyway.
-- KEYS  1 issue; 2 steps
-- ARGV  1 token; 2 request key; 3 output and cost (JSON); 4 maximum number of outputs
-- Outcomes  ok: cached, now or by an earlier call | full: the maximum is reached
--   stale: the caller does not hold the issue
local issue, steps = KEYS[1], KEYS[2]
local token, asked, kept, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local f = redis.call('HMGET', issue, 'state', 'token')
if f[1] ~= 'in_flight' or f[2] ~= token then return { 'stale' } end
local n_known = 0
for _, field in ipairs(redis.call('HKEYS', steps)) do
  if field == asked then return { 'ok' } end
  -- The other two fields belong to note_cost.
  if field ~= 'cost' and field ~= 'cost_calls' then n_known = n_known + 1 end
end
if n_known >= most then return { 'full' } end

redis.call('HSET', steps, asked, kept)
return { 'ok' }
