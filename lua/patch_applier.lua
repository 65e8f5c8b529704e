-- Applies `$.patch` to the target, all of it or nothing.
--
-- Then two fields follow the change: an agent whose `profile.system_prompt` changed gets
-- `profile.version_hash`, the SHA-256 of the new prompt; and if the document changed at all,
-- `metadata.version_label` is raised by the patch's `bump`, unless the patch sets it itself.
--
-- Returns `{prev_hash, patch, new_bp_yaml, new_bp_json, new_hash, epoch_id}`, or
-- `{error = {axis, reason}}`: axis `patch` if the spawner's reply is no patch, `apply` if the
-- patch does not apply, `des` if it sets a label that is no semantic version. A label that was none
-- before, and that the patch leaves as it is, is not the author's mistake: the issue fails.

local patch = _CTX.patch

local function is_object(value)
  return type(value) == "table" and not host.is_array(value)
end

local function no_patch(reason)
  return { error = { axis = "patch", reason = reason } }
end

local function not_applied(reason)
  return { error = { axis = "apply", reason = reason } }
end

local LABEL = "/metadata/version_label"

-- What a value is, in the words of JSON.
local function kind(value)
  if value == nil then
    return "missing"
  elseif value == host.null then
    return "null"
  elseif host.is_array(value) then
    return "an array"
  elseif type(value) == "table" then
    return "an object"
  end
  return "a " .. type(value)
end

if not is_object(patch) then
  return no_patch("the spawner's reply must be an object {ops, bump, rationale}, not " .. kind(patch))
end
if not host.is_array(patch.ops) then
  return no_patch("ops must be an array of RFC 6902 operations; it is " .. kind(patch.ops))
end
for i, op in ipairs(patch.ops) do
  if not is_object(op) then
    return no_patch(string.format("ops[%d] must be an object; it is %s", i - 1, kind(op)))
  end
end
local bump = patch.bump
if bump ~= "major" and bump ~= "minor" and bump ~= "patch" then
  return no_patch(
    "bump must be major, minor or patch; it is " .. (type(bump) == "string" and string.format("%q", bump) or kind(bump))
  )
end
if type(patch.rationale) ~= "string" then
  return no_patch("rationale must be a string; it is " .. kind(patch.rationale))
end
-- As in PutBlueprint.
local MAX_RATIONALE_BYTES = 64 * 1024
if #patch.rationale > MAX_RATIONALE_BYTES then
  return no_patch(
    string.format("rationale must have at most %d bytes; it has %d", MAX_RATIONALE_BYTES, #patch.rationale)
  )
end

local before = assert(host.yaml_to_json(_CTX.prev_bp_yaml))
local after, problem = host.json_patch(before, patch.ops)
if after == nil then
  return not_applied(problem)
end

local function agents_of(document)
  local agents = is_object(document) and document.agents
  return host.is_array(agents) and agents or {}
end

local function prompt_of(agent)
  if is_object(agent) and is_object(agent.profile) and type(agent.profile.system_prompt) == "string" then
    return agent.profile.system_prompt
  end
  return nil
end

-- Operations that give each agent with a new prompt its new `version_hash`. An agent is the one
-- it was if its name is; a renamed one is the one that stood in its place.
local function prompt_hashes()
  local ops = host.array()
  local old_agents, agents = agents_of(before), agents_of(after)
  if agents == old_agents then
    return ops
  end
  local old_by_name
  for i, agent in ipairs(agents) do
    local old = old_agents[i]
    if agent ~= old then
      if old_by_name == nil then
        old_by_name = {}
        for _, candidate in ipairs(old_agents) do
          if is_object(candidate) and type(candidate.name) == "string" then
            old_by_name[candidate.name] = candidate
          end
        end
      end
      local prompt = prompt_of(agent)
      if prompt ~= nil and prompt ~= prompt_of(old_by_name[agent.name] or old) then
        ops[#ops + 1] = {
          op = "add",
          path = string.format("/agents/%d/profile/version_hash", i - 1),
          value = host.content_hash(prompt),
        }
      end
    end
  end
  return ops
end

-- True if the patch sets the label `new` itself: by an operation on it, or because it is another
-- one than before. A patch that replaces all of the metadata and keeps the label does not.
local function sets_label(new)
  if new == nil then
    return false
  end
  local metadata = before.metadata
  if not is_object(metadata) or metadata.version_label ~= new then
    return true
  end
  for _, op in ipairs(patch.ops) do
    if op.path == LABEL and op.op ~= "test" and op.op ~= "remove" then
      return true
    end
  end
  return false
end

if after ~= before and is_object(after) then
  local ops = prompt_hashes()
  local metadata = after.metadata
  if metadata == nil then
    ops[#ops + 1] = { op = "add", path = "/metadata", value = host.object() }
    metadata = {}
  elseif not is_object(metadata) then
    return not_applied("metadata would be " .. kind(metadata) .. "; it must be an object, for version_label stands in it")
  end
  if sets_label(metadata.version_label) then
    local invalid = host.label_problem(metadata.version_label)
    if invalid ~= nil then
      return { error = { axis = "des", reason = LABEL .. ": " .. invalid } }
    end
  else
    local label, invalid = host.semver_bump(metadata.version_label, bump)
    if label == nil then
      error(invalid .. '; an issue such as `set ' .. LABEL .. ' to "1.0.0"` gives it another one', 0)
    end
    ops[#ops + 1] = { op = "add", path = LABEL, value = label }
  end
  after, problem = host.json_patch(after, ops)
  if after == nil then
    return not_applied(problem)
  end
end

local yaml, unwritable = host.canonical_yaml(after)
if yaml == nil then
  return not_applied(unwritable)
end
return {
  prev_hash = _CTX.prev_hash,
  patch = patch,
  new_bp_yaml = yaml,
  new_bp_json = after,
  new_hash = host.content_hash(after),
  epoch_id = _CTX.epoch_id,
}
