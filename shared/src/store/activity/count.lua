#!lua flags=allow-oom
-- Adds figures of decided issues, and moves the cursor behind them. Both or nothing, so that
-- nothing is counted twice.
-- KEYS  1 activity_cursor; 2.. the hashes of figures
-- ARGV  1 a map (MessagePack): from, to: the cursor before and after; hashes: for each hash of KEYS
--       a map with expires_at (s) and figures, a list of field and number in turn
-- Outcomes  counted | moved: another caller has counted these entries
local arg = cmsgpack.unpack(ARGV[1])
local cursor = redis.call('GET', KEYS[1]) or '0'
if tonumber(cursor) ~= arg.from then return { 'moved' } end
for i, hash in ipairs(arg.hashes) do
  local key = KEYS[1 + i]
  for at = 1, #hash.figures, 2 do
    redis.call('HINCRBY', key, hash.figures[at], hash.figures[at + 1])
  end
  redis.call('EXPIREAT', key, string.format('%.0f', hash.expires_at))
end
redis.call('SET', KEYS[1], string.format('%.0f', arg.to))
return { 'counted' }
