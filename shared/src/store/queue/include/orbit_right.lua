-- Only an admin can change an orbit, because its flow decides the verification.

-- Returns the setting that names the Blueprint as its orbit, with any selector; nil if none does.
-- Of several settings, it returns the first in byte order.
local function read_setting_of(orbits, blueprint_id)
  local found
  local named = redis.call('HGETALL', orbits)
  for i = 1, #named, 2 do
    -- A setting that is about to be written has a suffix behind its name.
    local setting, orbit = string.match(named[i], '^%S+'), string.match(named[i + 1], '^%S+')
    if orbit == blueprint_id and (not found or setting < found) then found = setting end
  end
  return found
end

-- As `read_setting_of`, but reads the settings only if they changed: every change of `orbits`
-- raises the settings counter in the same step. note: field `orbit_as_of` of the Blueprint,
-- `<settings counter> <setting>`, or nil; counter: the settings counter, text.
-- If the note is stale, the second result is the new note.
local function setting_of(orbits, blueprint_id, note, counter)
  local as_of, noted = string.match(note or '', '^(%d+) (.*)$')
  if as_of == counter then return noted ~= '' and noted or nil end
  local found = read_setting_of(orbits, blueprint_id)
  return found, counter .. ' ' .. (found or '')
end

-- Returns the setting whose orbit the authority cannot change, '' for a bundled orbit without a
-- setting. Returns nil if the Blueprint is not an orbit, or for the authority of an admin.
local function forbidden_by(setting, authority, is_bundled)
  if authority == 'admin' then return nil end
  return setting or is_bundled and '' or nil
end

-- The reason of an issue whose target became an orbit after its acceptance.
local NEEDS_ADMIN = 'dispatch failed: ORBIT_NEEDS_ADMIN: '
local function needs_admin(setting)
  return NEEDS_ADMIN .. 'the setting ' .. setting .. ' uses this Blueprint as its orbit, and the issue was not filed with '
    .. 'the scope admin; retry it with an admin token'
end
