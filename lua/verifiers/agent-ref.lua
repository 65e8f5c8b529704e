-- Axis `agent-ref`: wherever the document names an agent, there is one: steps at any depth of the
-- flow, audits, hints, context policies. `shared/src/blueprint/refs.rs` has the list of places.

local document = _CTX.applied.new_bp_json
local report = host.judge_refs(document)
if #report.unknown == 0 then
  return { status = "pass", evidence = { refs = report.count } }
end

local MOST = 10
local unknown = {}
for n, ref in ipairs(report.unknown) do
  if n > MOST then
    unknown[n] = string.format("and %d more", #report.unknown - MOST)
    break
  end
  unknown[n] = string.format("%s names the unknown agent %q", ref.pointer, ref.name)
end

-- Whether there are agents at all is for the axis `des` to judge.
local names = {}
local agents = type(document) == "table" and document.agents
for _, agent in ipairs(host.is_array(agents) and agents or {}) do
  if type(agent) == "table" and type(agent.name) == "string" then
    names[#names + 1] = agent.name
  end
end
return {
  status = "deny",
  reason = string.format(
    "%s; declared agents: %s",
    table.concat(unknown, ", "),
    #names > 0 and table.concat(names, ", ") or "none"
  ),
}
