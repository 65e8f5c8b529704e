-- Runs the verifier of the axis in `$.axis` and returns its verdict with the axis added.
--
-- A verifier is a script in `verifiers/`. It sees the same `_CTX` and returns
-- `{status = "pass", evidence = ...}`, or `{status = ..., reason = "..."}` with the status "deny"
-- or "review". An axis without a script is denied. A verifier that fails, or returns another
-- value, fails the issue, because that is not a judgement of the document.

local axis = _CTX.axis

-- No document to verify: the reply is not a patch, or the patch did not apply.
if _CTX.applied.error ~= nil then
  return { axis = axis, status = "skipped" }
end

local verify = host.verifier(axis)
if verify == nil then
  return {
    axis = axis,
    status = "deny",
    reason = string.format("unknown axis %q; there are: %s", axis, table.concat(host.axes(), ", ")),
  }
end

local verdict = verify()

-- Verifiers of mlua-swarm return {value = ..., ok = true}. The value is {Pass = {evidence}} or
-- {Deny = {reason}}, by itself or as `outcome`.
if type(verdict) == "table" and verdict.ok == true and verdict.value ~= nil then
  verdict = verdict.value
end
if type(verdict) == "table" and verdict.status == nil then
  local outcome = type(verdict.outcome) == "table" and verdict.outcome or verdict
  if type(outcome.Deny) == "table" then
    verdict = { status = "deny", reason = outcome.Deny.reason }
  elseif type(outcome.Pass) == "table" then
    verdict = { status = "pass", evidence = outcome.Pass.evidence }
  end
end
if type(verdict) ~= "table" then
  error(string.format("verifier %s returned a %s, not {status = ...}", axis, type(verdict)), 0)
end
if verdict.status == "pass" then
  local evidence = verdict.evidence
  if evidence == nil then
    evidence = ""
  end
  return { axis = axis, status = "pass", evidence = evidence }
elseif verdict.status == "deny" or verdict.status == "review" then
  if type(verdict.reason) ~= "string" or verdict.reason == "" then
    local did = verdict.status == "deny" and "denied" or "asked for a review"
    error(string.format("verifier %s %s without a reason", axis, did), 0)
  end
  return { axis = axis, status = verdict.status, reason = verdict.reason }
end
error(string.format("verifier %s returned the status %s, not pass, deny or review", axis, tostring(verdict.status)), 0)
