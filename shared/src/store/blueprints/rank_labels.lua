#!lua
-- Moves labels of the earlier format, whose hash fields are the labels themselves, to their ranks.
-- KEYS  1 labels; 2 ranks
-- ARGV  for each label: 1 the label; 2 its rank
-- Outcomes  ok
local labels, ranks = KEYS[1], KEYS[2]

local seqs = {}
for i = 1, #ARGV, 2 do
  seqs[i] = tonumber(redis.call('HGET', labels, ARGV[i]) or 0)
end

for i = 1, #ARGV, 2 do
  local label, rank, seq = ARGV[i], ARGV[i + 1], seqs[i]
  -- Of labels with one rank the newest commit counts. A newer one may exist in the meantime.
  if seq > tonumber(redis.call('HGET', labels, rank) or 0) then
    redis.call('HSET', labels, rank, string.format('%.0f', seq))
    redis.call('ZADD', ranks, 0, rank)
  end
  redis.call('HDEL', labels, label)
end
return { 'ok' }
