-- Shared by settle and approve: the only code that commits the change of an issue.
local blueprint, documents = K.blueprint, K.documents

-- Writes the document as the new head and returns its number. Precondition: the head is the one
-- that the change was verified on.
--   made: document, version, label, commit (JSON without seq, parents, time and actors),
--   seq and parent: number and version of that head; by and comment: of the approval, or nil
local function commit_change(made)
  local seq = int(made.seq + 1)
  redis.call('HSETNX', documents, made.version, made.document)
  redis.call('HSET', K.commits, seq,
    stamp(made.commit, actor_member('author', issue.submitted_by) .. actor_member('decided_by', made.by)
      .. comment_member(made.comment)
      .. '"seq":' .. seq .. ',"parents":["' .. made.parent .. '"],"at":' .. at))
  redis.call('HSET', K.newest, made.version, seq)
  if made.label ~= '' then redis.call('HSET', K.labels, made.label, seq) end
  redis.call('HSET', blueprint, 'seq', seq, 'version', made.version, 'label', made.label, 'updated_at', at)
  return seq
end
