-- Only the authority of an admin acts on an orbit: its flow decides what is verified.

-- The setting that names the Blueprint as its orbit, by whatever selector: of several the first in byte order.
-- nil if none does.
local function read_setting_of(orbits, blueprint_id)
  local found
  local named = redis.call('HGETALL', orbits)
  for i = 1, #named, 2 do
    -- A setting that is about to be written has a mark behind its name.
    local setting, orbit = string.match(named[i], '^%S+'), string.match(named[i + 1], '^%S+')
    if orbit == blueprint_id and (not found or setting < found) then found = setting end
  end
  return found
end

-- As `read_setting_of`, but what the settings say is read only if they have changed: whatever changes `orbits` raises
-- the settings counter in the same step. note: field `orbit_as_of` of the Blueprint, `<settings counter> <setting>`, or nil;
-- counter: the settings counter, text. If the note is old, also returns the one to write in its place.
local function setting_of(orbits, blueprint_id, note, counter)
  local as_of, noted = string.match(note or '', '^(%d+) (.*)$')
  if as_of == counter then return noted ~= '' and noted or nil end
  local found = read_setting_of(orbits, blueprint_id)
  return found, counter .. ' ' .. (found or '')
end

-- The setting whose orbit the authority may not act on: `setting`, or '' for a bundled orbit that none names.
-- nil if it is no orbit, or if the authority is that of an admin.
local function forbidden_by(setting, authority, is_bundled)
  if authority == 'admin' then return nil end
  return setting or is_bundled and '' or nil
end

-- The reason of an issue whose target has become an orbit since it was accepted.
local NEEDS_ADMIN = 'dispatch failed: ORBIT_NEEDS_ADMIN: '
local function needs_admin(setting)
  return NEEDS_ADMIN .. 'the setting ' .. setting .. ' uses this Blueprint as its orbit, and the issue was not filed with '
    .. 'the scope admin; retry it with an admin token'
end
