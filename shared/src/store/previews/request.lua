#!lua
-- Appends a preview request to the list, unless the list is full.
-- KEYS  1 previews; 2 orbits
-- ARGV  1 the request; 2 maximum number of waiting requests; 3 blueprint_id;
--       4 authority of the caller: admin | submitter;
--       5 '1' if the target is a bundled orbit, else '0'
-- Outcomes  ok | full
--   orbit_needs_admin: the setting that names the target as its orbit, or '' for a bundled one
--@include orbit_right
local previews, orbits = KEYS[1], KEYS[2]
local request, most, bp, authority = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local setting = authority ~= 'admin' and forbidden_by(read_setting_of(orbits, bp), authority, ARGV[5] == '1')
if setting then return { 'orbit_needs_admin', setting } end
if redis.call('LLEN', previews) >= most then return { 'full' } end

redis.call('LPUSH', previews, request)
return { 'ok' }
