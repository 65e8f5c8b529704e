#!lua
-- Keeps what a step of a leased issue came to, so that it is not paid for again if the issue is run again.
-- Without allow-oom: a full Redis has better things to keep, and the step has its output all the same.
-- KEYS  1 issue; 2 steps
-- ARGV  1 token; 2 what was asked; 3 output and cost (JSON); 4 how many are kept at most
-- Outcomes  ok: kept, now or by an earlier call | full: so many are kept already
--   stale: not (or no longer) this caller's issue
local issue, steps = KEYS[1], KEYS[2]
local token, asked, kept, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local f = redis.call('HMGET', issue, 'state', 'token')
if f[1] ~= 'in_flight' or f[2] ~= token then return { 'stale' } end
local n_known = 0
for _, field in ipairs(redis.call('HKEYS', steps)) do
  if field == asked then return { 'ok' } end
  -- The other two fields are note_cost's.
  if field ~= 'cost' and field ~= 'cost_calls' then n_known = n_known + 1 end
end
if n_known >= most then return { 'full' } end

redis.call('HSET', steps, asked, kept)
return { 'ok' }
