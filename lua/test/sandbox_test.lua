-- The names that a script can reach; a script leaves no state behind.

for _, name in ipairs({
  "io", "os", "package", "debug", "coroutine", "load", "loadstring", "loadfile", "dofile", "require", "collectgarbage",
  "getmetatable", "setmetatable", "rawset", "rawget", "_G", "print", "warn",
}) do
  assert(_ENV[name] == nil, name)
end
assert(string.dump == nil and ("").dump == nil)
assert(math.random == nil and math.randomseed == nil)

-- Libraries and `host` cannot be changed by any means.
for _, change in ipairs({
  function() string.rep = nil end,
  function() host.null = 1 end,
  function() table.insert(table, 1) end,
  function() ("").x = 1 end,
}) do
  assert(not pcall(change))
end

-- Globals belong to the script.
assert(leftover == nil)
leftover = true

-- xpcall returns the handler's result, even if the handler fails.
local ok, message = xpcall(function() error("a", 0) end, function(m) return m .. "b" end)
assert(not ok and message == "ab")
assert(not xpcall(error, function() error("again") end))
assert(select("#", xpcall(function(...) return ... end, nil, 1, nil, 3)) == 4)

-- Types have Lua's names.
assert(type(1) == "number" and type(1.5) == "number" and type(nil) == "nil" and type(host.null) == "userdata")
assert(type("") == "string" and type({}) == "table" and type(type) == "function" and type(true) == "boolean")

-- No function shows an address, because addresses differ between runs.
assert(tostring({}) == "table" and tostring(print) == "nil" and tostring(pcall) == "function" and tostring(1) == "1")
assert(string.format("%s %d %s %q", {}, 7, pcall, "a") == 'table 7 function "a"')
assert(("%s%%p"):format({}) == "table%p" and ("%s"):format(_CTX.text) == _CTX.text)
assert(not pcall(string.format, "%p", {}) and not pcall(string.format, "%-8p", "x"))

-- Calls that would run for ever in C without memory.
assert(("").rep("", 1 << 62) == "" and ("ab"):rep(2, "-") == "ab-ab" and (""):rep(3, "-") == "--")
assert(not pcall(table.move, {}, 1, 1 << 60, 2))
assert(table.concat(table.move({ 1, 2, 3 }, 2, 3, 1)) == "233")
assert(not pcall(string.format, "%99999d", 1))

-- Documents that `host` creates are outside Lua's heap, and count towards a limit too.
local text = "[" .. ("[],"):rep(300000) .. "[]]"
local kept = {}
local bounded, why = pcall(function()
  for i = 1, 1000 do kept[i] = host.json_parse(text) end
end)
assert(not bounded and #kept < 100, #kept)
return true
