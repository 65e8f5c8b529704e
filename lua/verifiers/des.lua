-- Axis `des`: what the patch left is still the Blueprint that it was: the same `id`, `flow` an
-- object, `agents` an array of objects with unique names, `metadata.version_label`, if it is there,
-- a semantic version.

local before = host.yaml_to_json(_CTX.prev_bp_yaml)
local after = _CTX.applied.new_bp_json

local function deny(reason)
  return { status = "deny", reason = reason }
end

local function is_object(value)
  return type(value) == "table" and not host.is_array(value)
end

if not is_object(after) then
  return deny("the document is no object any more")
end
if after.id ~= before.id then
  return deny(string.format("id must stay %q", tostring(before.id)))
end
if not is_object(after.flow) then
  return deny("flow must be an object")
end
if not host.is_array(after.agents) then
  return deny("agents must be an array")
end

local seen = {}
for i, agent in ipairs(after.agents) do
  -- Places are counted from 0, as in the pointers of a patch.
  local place = string.format("/agents/%d", i - 1)
  if not is_object(agent) then
    return deny(place .. " must be an object")
  end
  local name = agent.name
  if type(name) ~= "string" or name == "" then
    return deny(place .. "/name must be a non-empty string")
  end
  if seen[name] then
    return deny(string.format("%s/name: there is another agent %q at %s", place, name, seen[name]))
  end
  seen[name] = place
end

local label = is_object(after.metadata) and after.metadata.version_label or nil
local invalid = label ~= nil and host.label_problem(label)
if invalid then
  return deny("/metadata/version_label: " .. invalid)
end

return { status = "pass", evidence = { id = after.id, agents = #after.agents } }
