-- `_CTX`: a document as a read-only table.

-- Scalars are converted exactly.
assert(_CTX.int == (1 << 60) + 1 and math.type(_CTX.int) == "integer")
assert(_CTX.float == 1.0 and math.type(_CTX.float) == "float")
assert(_CTX.flag == true and _CTX.text == "ä")
assert(_CTX.null == host.null and _CTX.missing == nil)

-- Containers resemble tables.
assert(type(_CTX) == "table" and type(_CTX.list) == "table")
assert(#_CTX.list == 4 and #_CTX.empty_list == 0 and #_CTX.object == 2)
assert(_CTX.list[1] == 1 and _CTX.list[1.0] == 1 and _CTX.list[2] == host.null)
assert(_CTX.list[0] == nil and _CTX.list[5] == nil and _CTX.list[-1] == nil and _CTX.list.x == nil)
assert(_CTX.object[1] == nil and _CTX.object.a.deep[1] == true)

-- `ipairs` does not end at a null.
local n = 0
for i, item in ipairs(_CTX.list) do
  n = n + 1
  assert(i == n and item == _CTX.list[i])
end
assert(n == 4)

-- `pairs` follows the order of the keys.
local keys = {}
for key in pairs(_CTX.object) do
  keys[#keys + 1] = key
end
assert(table.concat(keys, " ") == "a b")
for i, item in pairs(_CTX.list) do
  assert(item == _CTX.list[i])
end
for _ in pairs(_CTX.empty_object) do
  error("nothing is in there")
end

-- `next`, `table.unpack`, `table.concat` and `select` work as with tables.
assert(next(_CTX.empty_object) == nil and next(_CTX.object) == "a" and next({}) == nil)
assert(select("#", table.unpack(_CTX.list)) == 4)
assert(table.concat(host.yaml_to_json("[a, b]"), ",") == "a,b")

-- Equality is by content.
assert(_CTX.object == _CTX.object and _CTX.object ~= _CTX.list)
assert(host.json_parse('{"a": [1]}') == host.json_parse('{ "a":[1] }'))
assert(host.json_parse("[1]") ~= host.json_parse("[1.0]"))

-- Views are read-only.
for _, write in ipairs({
  function() _CTX.object.a = 1 end,
  function() _CTX.list[1] = 2 end,
  function() _CTX.new = 1 end,
  function() table.insert(_CTX.list, 5) end,
  function() table.sort(host.yaml_to_json("[2, 1]")) end,
}) do
  local ok, message = pcall(write)
  assert(not ok and tostring(message):find("read%-only"), tostring(message))
end
return true
