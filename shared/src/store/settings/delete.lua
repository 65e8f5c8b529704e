#!lua
-- Deletes a setting. Its revision remains, and a new setting with its name continues from it.
-- KEYS  1 settings; 2 settings_counter; 3 orbits
-- ARGV  1 setting_id
-- Outcomes  deleted | unknown_setting
local settings, settings_counter, orbits = KEYS[1], KEYS[2], KEYS[3]
local id = ARGV[1]

if redis.call('HEXISTS', settings, id) == 0 then return { 'unknown_setting' } end

redis.call('HDEL', settings, id)
redis.call('HDEL', orbits, id)
redis.call('INCR', settings_counter)
return { 'deleted' }
