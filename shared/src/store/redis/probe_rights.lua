#!lua flags=no-writes
-- Checks the connection user's permission for certain calls without running them.
-- KEYS  1 any key of Draftsman: Redis checks the access to it before it runs a script
-- ARGV  the complete calls, each a line of words; see server_check.rs
-- Outcomes  ok: the calls without permission | unknown: this server cannot check rights
if not redis.acl_check_cmd then return { 'unknown' } end
local refused = {}
for _, call in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(call, '%S+') do words[#words + 1] = word end
  -- It raises an error for a command that the server does not have under this name.
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (known and allowed) then refused[#refused + 1] = call end
end
return { 'ok', refused }
