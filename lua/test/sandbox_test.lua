-- What a script can reach, and what it leaves behind: nothing.

for _, name in ipairs({
  "io", "os", "package", "debug", "coroutine", "load", "loadstring", "loadfile", "dofile", "require", "collectgarbage",
  "getmetatable", "setmetatable", "rawset", "rawget", "_G", "print", "warn",
}) do
  assert(_ENV[name] == nil, name)
end
assert(string.dump == nil and ("").dump == nil)
assert(math.random == nil and math.randomseed == nil)

-- Libraries and host cannot be changed, by no road.
for _, change in ipairs({
  function() string.rep = nil end,
  function() host.null = 1 end,
  function() table.insert(table, 1) end,
  function() ("").x = 1 end,
}) do
  assert(not pcall(change))
end

-- Globals are the script's own.
assert(leftover == nil)
leftover = true

-- xpcall gives the handler's answer, whatever the handler does.
local ok, message = xpcall(function() error("a", 0) end, function(m) return m .. "b" end)
assert(not ok and message == "ab")
assert(not xpcall(error, function() error("again") end))
assert(select("#", xpcall(function(...) return ... end, nil, 1, nil, 3)) == 4)

-- Values are what Lua calls them.
assert(type(1) == "number" and type(1.5) == "number" and type(nil) == "nil" and type(host.null) == "userdata")
assert(type("") == "string" and type({}) == "table" and type(type) == "function" and type(true) == "boolean")
return true
