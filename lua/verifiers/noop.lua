-- Axis `noop`: the document changed.

local applied = _CTX.applied
if applied.new_hash ~= _CTX.prev_hash then
  return { status = "pass", evidence = { from = _CTX.prev_hash, to = applied.new_hash } }
end

-- Nothing happened: what the spawner said is the best explanation there is.
local reason = "the document would not change"
local rationale = applied.patch.rationale
if #applied.patch.ops == 0 and type(rationale) == "string" and rationale ~= "" then
  reason = reason .. ": " .. rationale
end
return { status = "deny", reason = reason }
