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

-- Nothing tells an address, which would be another one the next time.
assert(tostring({}) == "table" and tostring(print) == "nil" and tostring(pcall) == "function" and tostring(1) == "1")
assert(string.format("%s %d %s %q", {}, 7, pcall, "a") == 'table 7 function "a"')
assert(("%s%%p"):format({}) == "table%p" and ("%s"):format(_CTX.text) == _CTX.text)
assert(not pcall(string.format, "%p", {}) and not pcall(string.format, "%-8p", "x"))

-- What would keep C busy for ever and takes no memory.
assert(("").rep("", 1 << 62) == "" and ("ab"):rep(2, "-") == "ab-ab" and (""):rep(3, "-") == "--")
assert(not pcall(table.move, {}, 1, 1 << 60, 2))
assert(table.concat(table.move({ 1, 2, 3 }, 2, 3, 1)) == "233")
assert(not pcall(string.format, "%99999d", 1))

-- Documents that host makes lie outside Lua's memory, and are counted as well.
local text = "[" .. ("[],"):rep(300000) .. "[]]"
local kept = {}
local bounded, why = pcall(function()
  for i = 1, 1000 do kept[i] = host.json_parse(text) end
end)
assert(not bounded and #kept < 100, #kept)
return true
