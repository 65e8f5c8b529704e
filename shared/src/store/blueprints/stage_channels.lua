#!lua
-- Stages the next moves of channels of an import, in keys that no other script reads.
-- KEYS  1 documents; 2 commits; 3 newest; 4 labels; 5 channels; 6 channel_revisions;
--       7 channel_moves, all staged
-- ARGV  1 lifetime ms; 2 seq of the newest commit;
--       then for each move: channel, its revision, the channel after it or '', move
-- Outcomes  staged | lost: the data staged before has expired
local commits, channels, revisions, moves = KEYS[2], KEYS[5], KEYS[6], KEYS[7]
local lifetime = ARGV[1]

if redis.call('HEXISTS', commits, ARGV[2]) == 0 then return { 'lost' } end

for i = 3, #ARGV, 4 do
  local name, revision, channel, move = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if channel == '' then redis.call('HDEL', channels, name) else redis.call('HSET', channels, name, channel) end
  redis.call('HSET', revisions, name, revision)
  redis.call('RPUSH', moves, move)
end
-- In one script, so that all keys expire together.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, lifetime) end
return { 'staged' }
