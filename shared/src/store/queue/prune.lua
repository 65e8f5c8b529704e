#!lua flags=allow-oom
-- Removes an issue after the retention period. Its log entry remains as the tombstone.
-- KEYS, ARGV  of include/keys.lua, without a holder. ARGV also has:
--       age_ms: retention period
-- Outcomes  pruned | kept: not decided, within the retention period, or without a log entry
--   gone: no such issue
--@include keys
local issues, issues_here, age_ms = K.issues, K.issues_here, arg.age_ms

local f = redis.call('HMGET', K.issue, 'state', 'updated_at')
if not f[1] then return { 'gone' } end
local is_decided = f[1] == 'applied' or f[1] == 'rejected'
if not is_decided or now - tonumber(f[2]) < age_ms then return { 'kept' } end
if redis.call('HEXISTS', K.log, id) == 0 then return { 'kept' } end

redis.call('DEL', K.issue, K.intent)
redis.call('ZREM', issues, id)
redis.call('ZREM', issues_here, id)
redis.call('ZREM', K.dead, id)
return { 'pruned' }
