#!lua
-- Stages the next commits of an import, in keys that no other script reads.
-- KEYS  1 documents; 2 commits; 3 newest; 4 labels, all staged
-- ARGV  1 lifetime ms; 2 seq of the first;
--       then for each commit: version, document, label or '', commit
-- Outcomes  staged | lost: the data staged before has expired
local documents, commits, newest, labels = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lifetime, first = ARGV[1], tonumber(ARGV[2])

if first > 1 and redis.call('HEXISTS', commits, first - 1) == 0 then return { 'lost' } end

for i = 3, #ARGV, 4 do
  local seq, version, label = string.format('%.0f', first + (i - 3) / 4), ARGV[i], ARGV[i + 2]
  redis.call('HSETNX', documents, version, ARGV[i + 1])
  redis.call('HSET', commits, seq, ARGV[i + 3])
  redis.call('HSET', newest, version, seq)
  if label ~= '' then redis.call('HSET', labels, label, seq) end
end
-- In one script, so that all keys expire together.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, lifetime) end
return { 'staged' }
