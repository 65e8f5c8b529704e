-- Draws the verdicts together into `$.commit`: any denial denies, else the new document is to be
-- committed. A patch that is none or did not apply denies by itself, whatever the axes are.

local applied = _CTX.applied

local function rationale()
  local patch = _CTX.patch
  if type(patch) == "table" and type(patch.rationale) == "string" then
    return patch.rationale
  end
  return ""
end

local function denied(reasons, summary)
  return {
    committed = false,
    reasons = host.array(reasons),
    verdicts_summary = host.array(summary),
    rationale = rationale(),
  }
end

if applied.error ~= nil then
  local axis, reason = applied.error.axis, applied.error.reason
  return denied({ axis .. ": " .. reason }, { { axis = axis, status = "deny", reason = reason } })
end

-- The verdict of a router of mlua-swarm is {axis, outcome}, `outcome` being {Pass = {evidence}} or {Deny = {reason}}.
local function read(verdict)
  local outcome = verdict.outcome
  if verdict.status ~= nil or type(outcome) ~= "table" then
    return verdict
  end
  if type(outcome.Deny) == "table" then
    return { axis = verdict.axis, status = "deny", reason = outcome.Deny.reason }
  elseif type(outcome.Pass) == "table" then
    local evidence = outcome.Pass.evidence
    return { axis = verdict.axis, status = "pass", evidence = evidence == nil and "" or evidence }
  end
  error(string.format("the verdict of the axis %s is neither Pass nor Deny", tostring(verdict.axis)), 0)
end

local reasons, summary = {}, {}
for _, branch in ipairs(_CTX.verdicts) do
  local verdict = read(branch.verdict)
  if verdict.status == "pass" then
    summary[#summary + 1] = { axis = verdict.axis, status = "pass", evidence = verdict.evidence }
  else
    summary[#summary + 1] = { axis = verdict.axis, status = "deny", reason = verdict.reason }
    reasons[#reasons + 1] = verdict.axis .. ": " .. verdict.reason
  end
end

if #reasons > 0 then
  return denied(reasons, summary)
end
return {
  committed = true,
  new_version = applied.new_hash,
  new_bp_yaml = applied.new_bp_yaml,
  new_bp_json = applied.new_bp_json,
  bump = applied.patch.bump,
  rationale = rationale(),
  verdicts_summary = host.array(summary),
}
