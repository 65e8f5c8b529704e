-- Axis `canonical`: reading the new document's YAML and writing it again gives the same hash.

local applied = _CTX.applied
local again, problem = host.yaml_to_json(applied.new_bp_yaml)
if again == nil then
  return { status = "deny", reason = "the new document cannot be read again: " .. problem }
end
local hash, unwritable = host.content_hash(again)
if hash == nil then
  return { status = "deny", reason = "the new document cannot be written again: " .. unwritable }
end
if hash ~= applied.new_hash then
  return {
    status = "deny",
    reason = string.format("canonicalised again the new document hashes to %s instead of %s", hash, applied.new_hash),
  }
end
return { status = "pass", evidence = { hash = hash } }
