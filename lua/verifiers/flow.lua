-- Axis `flow`: the new document's flow is valid flow.ir. Off unless a setting names it, because
-- Blueprints for an older flow.ir are stored and patched like any other.

local problem = host.flow_problem(_CTX.applied.new_bp_json.flow)
if problem ~= nil then
  return { status = "deny", reason = "flow is not valid flow.ir: " .. problem }
end
return { status = "pass", evidence = { refs = #host.step_refs(_CTX.applied.new_bp_json.flow) } }
