-- Wakes the watchers of a Blueprint after its head, its archive or one of its channels changed. The
-- message is a hint: a watcher reads the state. So a failed publish loses no data.
-- Call it last. moved: blueprint_id, version, seq, archived; of a channel also channel and revision
local HEADS = 'draftsman:heads'
local function publish_move(moved)
  redis.pcall('PUBLISH', HEADS, '{"blueprint_id":"' .. moved.blueprint_id .. '","version":"' .. moved.version
    .. '","seq":' .. moved.seq .. ',"channel":"' .. (moved.channel or '')
    .. '","channel_revision":' .. (moved.revision or '0') .. ',"archived":' .. tostring(moved.archived or false) .. '}')
end
