-- The deterministic spawner: reads an intent and returns a patch `{ops, bump, rationale}`.
--
-- `host.read_intent` parses the language that `docs/intents.md` specifies. An intent is a patch as
-- JSON, alone or in the single fenced block of a prose, or sentences. This script converts the
-- sentences to operations. An intent that cannot be parsed completely gives no operations and a
-- rationale with the position and the reason; the axis `noop` then denies it.

local function is_object(value)
  return type(value) == "table" and not host.is_array(value)
end

-- Operations ------------------------------------------------------------------------------------

local function escape(key)
  return (key:gsub("~", "~0"):gsub("/", "~1"))
end

-- Returns the value at `pointer` in `document`, or nil.
local function at(document, pointer)
  local found = document
  local from = 2
  while from <= #pointer + 1 do
    local stop = pointer:find("/", from, true) or #pointer + 1
    local key = pointer:sub(from, stop - 1):gsub("~1", "/"):gsub("~0", "~")
    if type(found) ~= "table" then
      return nil
    elseif host.is_array(found) then
      if key ~= "0" and not key:find("^[1-9]%d*$") then
        return nil
      end
      found = found[(math.tointeger(tonumber(key)) or -1) + 1]
    else
      found = found[key]
    end
    from = stop + 1
  end
  return found
end

-- Returns the index of an agent, counted from 0; otherwise nil and a message.
local function agent_place(document, name)
  local names = {}
  if host.is_array(document.agents) then
    for n, agent in ipairs(document.agents) do
      if is_object(agent) then
        if agent.name == name then
          return n - 1, agent
        end
        names[#names + 1] = tostring(agent.name)
      end
    end
  end
  return nil, string.format("there is no agent %q; there are: %s", name, table.concat(names, ", "))
end

-- Sets `key` of the object at `parent`; creates the object if it is missing or null.
local function set_member(document, parent, key, value)
  local object = at(document, parent)
  if object == nil or object == host.null then
    return { { op = "add", path = parent, value = host.object({ [key] = value }) } }
  end
  local path = parent .. "/" .. escape(key)
  return { { op = at(document, path) == nil and "add" or "replace", path = path, value = value } }
end

-- Each function returns the operations of a sentence on `document`, and a remark if the operations
-- do more than the sentence states.
local OPERATIONS = {
  set = function(document, s)
    return { { op = at(document, s.pointer) == nil and "add" or "replace", path = s.pointer, value = s.value } }
  end,
  add = function(document, s)
    local target = at(document, s.pointer)
    return { { op = "add", path = host.is_array(target) and s.pointer .. "/-" or s.pointer, value = s.value } }
  end,
  remove = function(_, s)
    return { { op = "remove", path = s.pointer } }
  end,
  rename = function(document, s)
    local place, problem = agent_place(document, s.from)
    if place == nil then
      return nil, problem
    end
    local ops = { { op = "replace", path = string.format("/agents/%d/name", place), value = s.to } }
    -- `shared/src/blueprint/refs.rs` maintains the list of places.
    for _, ref in ipairs(host.agent_refs(document, s.from)) do
      if ref.is_key then
        local target = ref.pointer:match("^.*/") .. escape(s.to)
        if s.to ~= s.from and at(document, target) ~= nil then
          return nil, target .. " exists already; remove it first"
        end
        ops[#ops + 1] = { op = "move", from = ref.pointer, path = target }
      else
        ops[#ops + 1] = { op = "replace", path = ref.pointer, value = s.to }
      end
    end
    return ops
  end,
  tag = function(document, s)
    local tags = at(document, "/metadata/tags")
    if tags == nil or tags == host.null then
      return set_member(document, "/metadata", "tags", host.array({ s.name }))
    end
    if host.is_array(tags) then
      for _, tag in ipairs(tags) do
        if tag == s.name then
          return {}, string.format("the tag %q is there already", s.name)
        end
      end
    end
    return { { op = "add", path = "/metadata/tags/-", value = s.name } }
  end,
  untag = function(document, s)
    local ops = {}
    local tags = at(document, "/metadata/tags")
    if host.is_array(tags) then
      for n = #tags, 1, -1 do
        if tags[n] == s.name then
          ops[#ops + 1] = { op = "remove", path = string.format("/metadata/tags/%d", n - 1) }
        end
      end
    end
    return ops, #ops == 0 and string.format("the tag %q is not there", s.name) or nil
  end,
  describe = function(document, s)
    return set_member(document, "/metadata", "description", s.text)
  end,
  profile = function(document, s)
    local place, problem = agent_place(document, s.agent)
    if place == nil then
      return nil, problem
    end
    return set_member(document, string.format("/agents/%d/profile", place), s.field, s.text)
  end,
}

local function nothing(rationale)
  return { ops = host.array(), bump = "patch", rationale = rationale }
end

-- The spawner -----------------------------------------------------------------------------------

local read, problem = host.read_intent(_CTX.issue.intent)
if read == nil then
  return nothing(problem)
elseif read.patch ~= nil then
  return read.patch
end

-- Each sentence applies to the result of the previous sentences.
local document = assert(host.yaml_to_json(_CTX.prev_bp_yaml))
local ops, remarks = host.array(), {}
for n, sentence in ipairs(read.sentences) do
  local own, remark = OPERATIONS[sentence.verb](document, sentence)
  if own == nil then
    return nothing(remark)
  end
  remarks[#remarks + 1] = remark
  for _, op in ipairs(own) do
    ops[#ops + 1] = op
  end
  if n < #read.sentences and #own > 0 then
    local after = host.json_patch(document, host.array(own))
    -- Operations that do not apply here fail again in the applier, which reports the error.
    document = after or document
  end
end

local rationale = read.rationale
if #remarks > 0 then
  rationale = rationale .. " (" .. table.concat(remarks, "; ") .. ")"
end
return { ops = ops, bump = "patch", rationale = rationale }
