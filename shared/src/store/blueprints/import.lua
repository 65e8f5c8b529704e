#!lua
-- Makes a staged history the history of a new Blueprint.
-- KEYS  1 blueprint; 2 blueprints; 3 documents; 4 commits; 5 newest; 6 labels; 7 channels;
--       8 channel_revisions; 9 channel_moves; 10-16 the last seven, staged
-- ARGV  1 blueprint_id; 2 seq; 3 version; 4 label; 5 updated_at, all of the newest commit
-- Outcomes  imported | exists | lost: the staged data has expired
--@include heads
local blueprint, blueprints, staged_commits = KEYS[1], KEYS[2], KEYS[11]
local bp, seq, version, label, updated_at = unpack(ARGV)

if redis.call('HEXISTS', blueprint, 'seq') == 1 then return { 'exists' } end
if redis.call('HEXISTS', staged_commits, seq) == 0 then return { 'lost' } end

for i = 10, 16 do
  -- A history without labels, or without channels, has no such key.
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i - 7])
    redis.call('PERSIST', KEYS[i - 7])
  end
end
redis.call('HSET', blueprint, 'seq', seq, 'version', version, 'label', label, 'updated_at', updated_at)
redis.call('ZADD', blueprints, 0, bp)
publish_move({ blueprint_id = bp, version = version, seq = seq })
return { 'imported' }
