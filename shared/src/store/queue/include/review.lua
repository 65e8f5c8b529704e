-- Shared by approve, decline and expire: the proposal of an issue in review, and its rejection.

-- Returns the fields of the proposal as a table of texts.
local function read_proposal() return (read_issue(K.proposal)) end

-- Rejects an issue in review.
--   by: the reviewer; nil if nobody reviewed it in time
local function decline(proposal, reason, by)
  decide({ state = 'rejected', cause = 'declined', reason = reason, new_version = '', by = by,
    log = stamp(proposal.log, '"new_hash":"","cause":"declined","reasons":[' .. quoted(reason) .. ']') })
  announce()
end

-- Rejects an issue whose proposal has expired; returns true if it has.
local function decline_if_due(proposal)
  local expires_at = tonumber(proposal.expires_at)
  if not expires_at or expires_at > now then return false end
  decline(proposal, proposal.expiry_reason, nil)
  return true
end
