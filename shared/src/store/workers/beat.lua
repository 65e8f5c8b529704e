#!lua flags=allow-oom
-- Records a heartbeat and extends the leases in its arguments.
-- KEYS  1 workers; 2 worker_load; 3 leases; 4 processing; 5 worker_scripts;
--       6.. the issues of the leases
-- ARGV  1 worker_id; 2 lease ms; then for each lease: element, token
-- Outcomes  ok: now, lost elements, cancelled elements, elements of the list without a lease, 1 if
--     the worker's scripts are registered, else 0
local workers, worker_load, leases, processing, worker_scripts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local worker, lease_ms = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held, lost, cancelled, unleased = (#ARGV - 2) / 2, {}, {}, {}

for i = 1, held do
  local element, token = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  local f = redis.call('HMGET', KEYS[5 + i], 'state', 'token', 'cause')
  if f[1] == 'in_flight' and f[2] == token then
    redis.call('ZADD', leases, now + lease_ms, element)
  elseif f[3] == 'cancelled' then
    cancelled[#cancelled + 1] = element
  else
    lost[#lost + 1] = element
  end
end
for _, element in ipairs(redis.call('LRANGE', processing, 0, -1)) do
  if not redis.call('ZSCORE', leases, element) then unleased[#unleased + 1] = element end
end
redis.call('ZADD', workers, now, worker)
redis.call('HSET', worker_load, worker, held)
return { 'ok', now, lost, cancelled, unleased, redis.call('HEXISTS', worker_scripts, worker) }
