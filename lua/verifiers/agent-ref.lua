-- Axis `agent-ref`: every `step.ref`, at any depth of the flow, names a declared agent.

local document = _CTX.applied.new_bp_json

-- Whether there are agents at all is for the axis `des` to judge.
local is_object = type(document) == "table" and not host.is_array(document)
local agents = is_object and host.is_array(document.agents) and document.agents or {}
local flow = is_object and document.flow or host.null

local declared, names = {}, {}
for _, agent in ipairs(agents) do
  if type(agent) == "table" and type(agent.name) == "string" then
    declared[agent.name] = true
    names[#names + 1] = agent.name
  end
end

local refs = host.step_refs(flow)
local unknown, seen = {}, {}
for _, ref in ipairs(refs) do
  if not declared[ref] and not seen[ref] then
    seen[ref] = true
    unknown[#unknown + 1] = string.format("%q", ref)
  end
end

if #unknown > 0 then
  return {
    status = "deny",
    reason = string.format(
      "the flow refers to %s, which no agent is named; declared are: %s",
      table.concat(unknown, ", "),
      #names > 0 and table.concat(names, ", ") or "none"
    ),
  }
end
return { status = "pass", evidence = { refs = #refs } }
