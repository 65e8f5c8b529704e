#!lua flags=no-writes
-- Lists Blueprints with their heads, in the order of their ids.
--
-- The only script that builds key names: only it knows the ids on a page, and a page is one round
-- trip. This is valid in a cluster: each name begins with KEYS[2], so it has the hash tag and the
-- slot of the declared keys. During the migration of the slot, Redis rejects the script (TRYAGAIN),
-- because KEYS[2] itself never exists. So a page never lacks moved Blueprints.
-- KEYS  1 blueprints; 2 prefix of the key of each blueprint, including the hash tag
-- ARGV  1 first id in the syntax of ZRANGEBYLEX; 2 page size; 3 '1' to include archived ones;
--       4 maximum number of ids to read
-- Outcomes  page: the id before the next page, or ''; then an id and its fields for each
local blueprints, prefix = KEYS[1], KEYS[2]
local from, size, archived_too, most = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])

-- The extra id shows whether another page follows.
local ids = redis.call('ZRANGEBYLEX', blueprints, from, '+', 'LIMIT', 0, most + 1)
local reply, listed = { 'page', '' }, 0
for i, id in ipairs(ids) do
  if listed == size or i > most then
    reply[2] = ids[i - 1]
    break
  end
  local fields = redis.call('HGETALL', prefix .. id)
  local is_archived = false
  for k = 1, #fields, 2 do
    if fields[k] == 'archived' then is_archived = fields[k + 1] == '1' end
  end
  if fields[1] and (archived_too or not is_archived) then
    listed = listed + 1
    table.insert(reply, id)
    table.insert(reply, fields)
  end
end
return reply
