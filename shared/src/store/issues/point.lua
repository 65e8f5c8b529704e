#!lua
-- Writes the pointer of an issue's id to the Blueprint whose shard will store the issue.
-- KEYS  1 ids
-- ARGV  1 issue_id; 2 blueprint_id; 3 the stale pointer to replace, as read, or ''
-- Outcomes  ok: it points to this Blueprint | elsewhere: the pointer, its age in ms
local ids, id, bp, stale = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local pointer = redis.call('HGET', ids, id)
if pointer and pointer ~= stale then
  local to, at = string.match(pointer, '^(.-)|(%d+)$')
  local age = now - tonumber(at or 0)
  if to ~= bp and to and age < 0 then
    -- Redis's clock was set back in the meantime: the age of the pointer starts now.
    pointer, age = to .. '|' .. string.format('%.0f', now), 0
    redis.call('HSET', ids, id, pointer)
  end
  if to ~= bp then return { 'elsewhere', pointer, age } end
end

redis.call('HSET', ids, id, bp .. '|' .. string.format('%.0f', now))
return { 'ok' }
