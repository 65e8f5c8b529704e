-- Only the authority of an admin acts on an orbit: its flow decides what is verified.

-- The setting that names the Blueprint as its orbit, by whatever selector: of several the first in byte order;
-- '' for a bundled orbit that none names. nil if it is no orbit, or if the authority is that of an admin.
local function orbit_forbids(orbits, blueprint_id, authority, is_bundled)
  if authority == 'admin' then return nil end
  local found
  local named = redis.call('HGETALL', orbits)
  for i = 1, #named, 2 do
    -- A setting that is about to be written has a mark behind its name.
    local setting, orbit = string.match(named[i], '^%S+'), string.match(named[i + 1], '^%S+')
    if orbit == blueprint_id and (not found or setting < found) then found = setting end
  end
  return found or is_bundled and '' or nil
end

-- The reason of an issue whose target has become an orbit since it was accepted.
local NEEDS_ADMIN = 'dispatch failed: ORBIT_NEEDS_ADMIN: '
local function needs_admin(setting)
  return NEEDS_ADMIN .. 'the setting ' .. setting .. ' uses this Blueprint as its orbit, and the issue was not filed with '
    .. 'the scope admin; retry it with an admin token'
end
