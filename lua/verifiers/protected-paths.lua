-- Axis `protected-paths`: the values at the pointers in `metadata.verifiers.protected-paths` are
-- unchanged. Off unless a setting names it. With the option `level: review` a person may approve
-- the change; otherwise it is denied.
--
-- The pointers (RFC 6901) come from the Blueprint before the patch. Everything in
-- `metadata.verifiers` is protected too: an issue cannot remove its own protection, but a Put can.

local before = host.yaml_to_json(_CTX.prev_bp_yaml)
local after = _CTX.applied.new_bp_json

local function deny(...)
  return { status = "deny", reason = string.format(...) }
end

-- Returns the value at `pointer`, or nil.
local function at(value, pointer)
  for part in pointer:gmatch("/([^/]*)") do
    local key = part:gsub("~1", "/"):gsub("~0", "~")
    if type(value) ~= "table" then
      return nil
    elseif host.is_array(value) then
      -- Array indices are counted from 0.
      local place = key:find("^%d+$") and tonumber(key)
      if not place then
        return nil
      end
      value = value[place + 1]
    else
      value = value[key]
    end
  end
  return value
end

local pointers = at(before, "/metadata/verifiers/protected-paths")
if pointers ~= nil and not host.is_array(pointers) then
  return deny("metadata.verifiers.protected-paths must be an array of pointers")
end
local all = { "/metadata/verifiers" }
for _, pointer in ipairs(pointers or {}) do
  if type(pointer) ~= "string" or not pointer:find("^/") then
    return deny("metadata.verifiers.protected-paths must hold pointers such as /agents/0")
  end
  all[#all + 1] = pointer
end

for _, pointer in ipairs(all) do
  local was, is = at(before, pointer), at(after, pointer)
  if was ~= is or math.type(was or 0.5) ~= math.type(is or 0.5) then
    local status = _CTX.options.level == "review" and "review" or "deny"
    return { status = status, reason = string.format("%s is protected and would change", pointer) }
  end
end
return { status = "pass", evidence = { protected = #all } }
