-- The functions of `host`.

local function fails(text, f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok, "it did not fail")
  assert(tostring(message):find(text, 1, true), tostring(message))
end

-- Documents and their texts.
local document = assert(host.yaml_to_json(_CTX.yaml))
assert(document.id == "team" and #document.agents == 2)
assert(host.canonical_yaml(document) == _CTX.yaml)
assert(host.content_hash(document) == host.content_hash(_CTX.yaml))
assert(host.content_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
assert(host.canonical_yaml({ b = 1, a = { host.null, host.array(), host.object(), 1.0 } }) == "a:\n- null\n- []\n- {}\n- 1.0\nb: 1\n")
local value, problem = host.yaml_to_json("a: [")
assert(value == nil and problem:find("YAML"))
value, problem = host.json_parse("{")
assert(value == nil and type(problem) == "string")
value, problem = host.json_parse('{"a": 1, "a": 2}')
assert(value == nil and problem:find("twice"))
assert(host.json_parse("null") == host.null and select(2, host.json_parse("null")) == nil)
fails("argument 1: nil is not a JSON value", host.canonical_yaml, nil)

-- Patches.
local changed = assert(host.json_patch(document, { { op = "add", path = "/x", value = _CTX.list } }))
assert(changed.x == _CTX.list and document.x == nil and changed ~= document)
value, problem = host.json_patch(document, { { op = "remove", path = "/none" } })
assert(value == nil and problem:find("/none", 1, true))
assert(host.json_patch({}, host.array()) == host.json_parse("{}"))

-- Labels.
assert(host.semver_bump("1.2.3", "minor") == "1.3.0")
assert(host.semver_bump(nil, "patch") == "0.0.1" and host.semver_bump(host.null, "major") == "1.0.0")
value, problem = host.semver_bump("one", "patch")
assert(value == nil and problem:find("invalid semver"))
value, problem = host.semver_bump("1.0.0", "huge")
assert(value == nil and problem:find("huge"))

assert(host.label_problem("1.0.0-rc.1") == nil and host.label_problem("v1"):find("invalid semver"))
assert(host.label_problem(5):find("not a number") and host.label_problem(nil):find("missing"))

-- Steps of a flow, and other agent references.
local places = host.agent_refs(document, "writer")
assert(#places == 1 and places[1].pointer == "/flow/children/0/ref" and places[1].is_key == false)
assert(host.is_array(host.agent_refs({}, "writer")) and #host.agent_refs({}, "writer") == 0)
local judged = host.judge_refs(host.json_patch(document, { { op = "add", path = "/audits", value = { { agent = "x" } } } }))
assert(judged.count == 3 and #judged.unknown == 1)
assert(judged.unknown[1].name == "x" and judged.unknown[1].pointer == "/audits/0/agent")
assert(table.concat(host.step_refs(document.flow), " ") == "writer reviewer")
assert(host.is_array(host.step_refs({})) and #host.step_refs({}) == 0)

-- Arrays and objects.
assert(host.is_array(host.array()) and not host.is_array(host.object()) and not host.is_array({}))
assert(host.is_array({ 1 }) and host.is_array(_CTX.empty_list) and not host.is_array(_CTX.empty_object))
assert(not host.is_array("x") and not host.is_array(nil) and not host.is_array(host.null))
local copy = host.array(_CTX.list)
copy[#copy + 1] = "more"
assert(#copy == 5 and #_CTX.list == 4)
assert(host.canonical_yaml(copy) == "- 1\n- null\n- []\n- {}\n- more\n")
local fields = host.object(_CTX.object)
fields.a = nil
assert(host.canonical_yaml(fields) == "b: 2\n")
-- A copy is writable at any depth, and its original stays unchanged.
local whole = host.object(_CTX.object)
whole.a.deep[1] = host.null
whole.a.more = host.object()
table.insert(whole.a.deep, 2)
assert(host.canonical_yaml(whole) == "a:\n  deep:\n  - null\n  - 2\n  more: {}\nb: 2\n")
assert(_CTX.object.a.deep[1] == true and _CTX.object.a.more == nil)
fails("expected an array, got an object", host.array, _CTX.object)
fails("expected a table", host.object, 5)

-- Values that JSON cannot represent are rejected, with their position.
fails("at a.b[2]: a function is not a JSON value", host.canonical_yaml, { a = { b = { 1, print or fails } } })
fails("the number NaN", host.canonical_yaml, { 0 / 0 })
fails("the number inf", host.canonical_yaml, { 1 / 0 })
fails("neither array nor object", host.canonical_yaml, { 1, 2, x = 3 })
fails("must be a string", host.canonical_yaml, host.object({ 1 }))
fails("must be a string", host.canonical_yaml, { [true] = 1 })
fails("not UTF-8", host.canonical_yaml, { "\xff" })
fails("neither array nor object", host.canonical_yaml, host.array({ x = 1 }))

-- Axes.
assert(table.concat(host.axes(), " ") == "agent-ref canonical des flow human-review json-schema llm-judge noop protected-paths size")
assert(host.verifier("none") == nil and type(host.verifier("des")) == "function")

host.log("a message")
host.log("debug", "a message")
fails("level", host.log, "loud", "a message")
return true
