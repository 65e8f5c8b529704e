#!lua
-- Records the total cost of a leased issue's spawner, over all attempts. Without allow-oom, as
-- remember_step.
-- KEYS  1 issue; 2 steps
-- ARGV  1 token; 2 cost (JSON); 3 the number of calls that it covers
-- Outcomes  ok: recorded, or an equal or larger number of calls was recorded before
--   stale: the caller does not hold the issue
local issue, steps = KEYS[1], KEYS[2]
local token, cost, calls = ARGV[1], ARGV[2], tonumber(ARGV[3])

local f = redis.call('HMGET', issue, 'state', 'token')
if f[1] ~= 'in_flight' or f[2] ~= token then return { 'stale' } end
local known = redis.call('HGET', steps, 'cost_calls')
if calls > tonumber(known or -1) then
  redis.call('HSET', steps, 'cost', cost, 'cost_calls', ARGV[3])
end
return { 'ok' }
