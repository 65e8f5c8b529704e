-- Axis `size`: the patch and the document are within limits. Off unless a setting names it.
--
-- The limits are in `metadata.verifiers.size` of the Blueprint before the patch.
-- `{ops, bytes, levels}`: operations of the patch, bytes of canonical YAML, levels of nesting.

local DEFAULTS = { ops = 100, bytes = 262144, levels = 32 }

local function deny(...)
  return { status = "deny", reason = string.format(...) }
end

local before = host.yaml_to_json(_CTX.prev_bp_yaml)
local metadata = before.metadata
local verifiers = type(metadata) == "table" and metadata.verifiers
local limits = type(verifiers) == "table" and verifiers.size or {}
if type(limits) ~= "table" then
  return deny("metadata.verifiers.size must be an object")
end

local function levels(value)
  local deepest = 0
  if type(value) == "table" then
    for _, member in pairs(value) do
      deepest = math.max(deepest, 1 + levels(member))
    end
  end
  return deepest
end

local applied = _CTX.applied
local found = { ops = #applied.patch.ops, bytes = #applied.new_bp_yaml, levels = levels(applied.new_bp_json) }
for _, what in ipairs({ "ops", "bytes", "levels" }) do
  local limit = limits[what]
  if limit == nil then
    limit = DEFAULTS[what]
  end
  if math.type(limit) ~= "integer" then
    return deny("metadata.verifiers.size.%s must be a whole number", what)
  end
  if found[what] > limit then
    return deny("%d %s, and at most %d are allowed", found[what], what, limit)
  end
end
return { status = "pass", evidence = found }
