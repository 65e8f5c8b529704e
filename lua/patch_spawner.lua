-- The deterministic spawner: reads an intent and returns a patch `{ops, bump, rationale}`.
--
-- An intent is either JSON, as a whole or in a fenced block:
--
--   [{"op": "replace", "path": "/metadata/description", "value": "..."}]     an RFC 6902 array
--   {"ops": [...], "bump": "minor", "rationale": "..."}                      a whole patch
--
-- or one or more of these sentences, joined by newlines or `;`:
--
--   set <pointer> to <value>                replaces what exists, adds what does not
--   add <value> to <pointer>                to an array: appends
--   remove <pointer>
--   rename agent <a> to <b>                 everything that names it follows
--   tag <name>          untag <name>        a name with spaces stands in double quotes
--   describe as <text>
--   set prompt of agent <a> to <text>
--   set model of agent <a> to <text>
--
-- A <pointer> is an RFC 6901 pointer and begins with `/`. A <value> is JSON if it parses, else the
-- text. `;` or a newline separates only where one of these sentences follows, so a text may hold
-- both. Anything else gives no operations and a rationale that says what is understood.
--
-- Intents come from anybody and are up to 64 KiB long, so every search here takes time linear in
-- the intent: no pattern in this file has more than one repetition that can give way to another.

local UNDERSTOOD = table.concat({
  "set <pointer> to <value>",
  "add <value> to <pointer>",
  "remove <pointer>",
  "rename agent <a> to <b>",
  "tag <name>",
  "untag <name>",
  "describe as <text>",
  "set prompt of agent <a> to <text>",
  "set model of agent <a> to <text>",
}, ", ") .. ", several joined by ';' or newlines, or an RFC 6902 array, or {ops, bump, rationale} as JSON"

local intent = _CTX.issue.intent

-- Texts -----------------------------------------------------------------------------------------

-- The part of `text` from `first` to `last` without blanks around it, and where that part is.
local function trim(text, first, last)
  first = text:find("%S", first) or last + 1
  while last >= first and text:find("^%s", last) do
    last = last - 1
  end
  return text:sub(first, last), first, last
end

-- The first `n` characters of `text`.
local function cut(text, n)
  local stop = utf8.offset(text, n + 1)
  if stop == nil or stop > #text then
    return text
  end
  return text:sub(1, stop - 1) .. "..."
end

-- The JSON that `text` is, with or without a `;` behind it; else the text.
local function value_of(text)
  local value, problem = host.json_parse(text)
  if problem ~= nil and text:sub(-1) == ";" then
    value, problem = host.json_parse(text:sub(1, -2))
  end
  if problem ~= nil then
    return text
  end
  return value
end

-- A name, which may stand in double quotes.
local function name_of(text)
  if text:sub(1, 1) == '"' then
    local value = host.json_parse(text)
    if type(value) == "string" then
      return value
    end
  end
  return text
end

local function is_object(value)
  return type(value) == "table" and not host.is_array(value)
end

-- JSON ------------------------------------------------------------------------------------------

-- The patch that `value` is, or nil.
local function patch_from_json(value, rationale)
  if is_object(value) and value.ops ~= nil then
    local bump, why = value.bump, value.rationale
    if bump == nil then
      bump = "patch"
    end
    if why == nil then
      why = rationale
    end
    return { ops = value.ops, bump = bump, rationale = why }
  end
  if host.is_array(value) then
    for _, op in ipairs(value) do
      if not is_object(op) or op.op == nil then
        return nil
      end
    end
    return { ops = value, bump = "patch", rationale = rationale }
  end
  return nil
end

-- The first fenced block that is a patch; else what is wrong with a block that was to be one.
local function patch_in_fence()
  local problem
  local from = 1
  while true do
    local _, open = intent:find("```", from, true)
    if open == nil then
      return nil, problem
    end
    local close, next_from = intent:find("```", open + 1, true)
    if close == nil then
      return nil, problem
    end
    -- What stands behind the opening fence is the block's language.
    local body = intent:find("\n", open + 1, true)
    local text = trim(intent, (body ~= nil and body < close) and body + 1 or open + 1, close - 1)
    local value, invalid = host.json_parse(text)
    if invalid ~= nil then
      problem = problem or invalid
    else
      local before = trim(intent, 1, open - 3)
      local patch = patch_from_json(value, before ~= "" and before or "as given in the intent")
      if patch ~= nil then
        return patch
      end
    end
    from = next_from + 1
  end
end

-- Sentences -------------------------------------------------------------------------------------

-- Where "to" stands as a word, in ascending order: `start` of the blank before it, `rest` behind
-- the blanks after it. Those before a pointer once more by themselves.
local places_of_to, places_before_pointer = {}, {}
do
  local from = 1
  while true do
    local start, stop = intent:find("%s[tT][oO]%s", from)
    if start == nil then
      break
    end
    local rest = intent:find("%S", stop) or #intent + 1
    local place = { start = start, rest = rest }
    places_of_to[#places_of_to + 1] = place
    if intent:sub(rest, rest) == "/" then
      places_before_pointer[#places_before_pointer + 1] = place
    end
    from = stop
  end
end

-- The index of the first of `places` at or after `position`.
local function index_from(places, position)
  local low, high = 1, #places + 1
  while low < high do
    local middle = (low + high) // 2
    if places[middle].start < position then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- True if a separator stands in `intent[first..last]`.
local function has_separator(first, last)
  local at = intent:find("[;\n]", first)
  return at ~= nil and at <= last
end

-- `last` without the blanks and separators before it: a sentence may end with a `;`.
local function closed(first, last)
  while last >= first and intent:find("^[%s;]", last) do
    last = last - 1
  end
  return last
end

-- Splits `intent[first..last]` at its first "to" into what stands before, which holds no
-- separator, and after.
local function around_to(first, last)
  local to = places_of_to[index_from(places_of_to, first)]
  if to == nil or to.rest > last or has_separator(first, to.start) then
    return nil
  end
  local before = trim(intent, first, to.start - 1)
  local after = trim(intent, to.rest, last)
  if before == "" or after == "" then
    return nil
  end
  return before, after
end

-- Where the rest begins if `pattern`, which is anchored, matches at `first`.
local function behind(pattern, first)
  local _, stop = intent:find(pattern, first)
  return stop and stop + 1
end

-- The words that a sentence begins with, in upper or lower case, and the blanks behind them.
local PROMPT_OF = "^[Ss][Ee][Tt]%s+[Pp][Rr][Oo][Mm][Pp][Tt]%s+[Oo][Ff]%s+[Aa][Gg][Ee][Nn][Tt]%s+"
local MODEL_OF = "^[Ss][Ee][Tt]%s+[Mm][Oo][Dd][Ee][Ll]%s+[Oo][Ff]%s+[Aa][Gg][Ee][Nn][Tt]%s+"
local SET = "^[Ss][Ee][Tt]%s+"
local ADD = "^[Aa][Dd][Dd]%s+"
local REMOVE = "^[Rr][Ee][Mm][Oo][Vv][Ee]%s+"
local RENAME = "^[Rr][Ee][Nn][Aa][Mm][Ee]%s+[Aa][Gg][Ee][Nn][Tt]%s+"
local TAG = "^[Tt][Aa][Gg]%s+"
local UNTAG = "^[Uu][Nn][Tt][Aa][Gg]%s+"
local DESCRIBE = "^[Dd][Ee][Ss][Cc][Rr][Ii][Bb][Ee]%s+[Aa][Ss]%s+"

local function of_agent(field, rest, last)
  local agent, text = around_to(rest, last)
  if agent == nil then
    return nil
  end
  return { verb = "profile", field = field, agent = name_of(agent), text = text }
end

local function one_name(verb, rest, last)
  if intent:find("^[^%s;]", rest) == nil then
    return nil
  end
  if intent:sub(rest, rest) == '"' then
    last = closed(rest, last)
    if has_separator(rest, last) then
      return nil
    end
    local name = host.json_parse((trim(intent, rest, last)))
    return type(name) == "string" and name ~= "" and { verb = verb, name = name } or nil
  end
  local _, stop = intent:find("^[^%s;]+", rest)
  -- A separator may end it, a further word may not.
  local more = intent:find("[^%s;]", stop + 1)
  if more ~= nil and more <= last then
    return nil
  end
  return { verb = verb, name = intent:sub(rest, stop) }
end

-- Each reads a sentence from `intent[first..last]`, which begins with its verb, or returns nil.
local SENTENCES = {
  set = function(first, last)
    local rest = behind(PROMPT_OF, first)
    if rest then
      return of_agent("system_prompt", rest, last)
    end
    rest = behind(MODEL_OF, first)
    if rest then
      return of_agent("model", rest, last)
    end
    rest = behind(SET, first)
    if rest == nil or intent:sub(rest, rest) ~= "/" then
      return nil
    end
    local pointer, text = around_to(rest, last)
    return pointer and { verb = "set", pointer = pointer, value = value_of(text) }
  end,
  add = function(first, last)
    local rest = behind(ADD, first)
    if rest == nil then
      return nil
    end
    -- The last "to" before a pointer: the value may hold others.
    local to = places_before_pointer[index_from(places_before_pointer, last + 1) - 1]
    if to == nil or to.start <= rest or to.rest > last then
      return nil
    end
    local text = trim(intent, rest, to.start - 1)
    local pointer = trim(intent, to.rest, closed(to.rest, last))
    return { verb = "add", value = value_of(text), pointer = pointer }
  end,
  remove = function(first, last)
    local rest = behind(REMOVE, first)
    if rest == nil or intent:sub(rest, rest) ~= "/" then
      return nil
    end
    return { verb = "remove", pointer = (trim(intent, rest, closed(rest, last))) }
  end,
  rename = function(first, last)
    local rest = behind(RENAME, first)
    if rest == nil then
      return nil
    end
    local from, to = around_to(rest, closed(rest, last))
    if from == nil or to:find("[;\n]") then
      return nil
    end
    return { verb = "rename", from = name_of(from), to = name_of(to) }
  end,
  tag = function(first, last)
    local rest = behind(TAG, first)
    return rest and one_name("tag", rest, last)
  end,
  untag = function(first, last)
    local rest = behind(UNTAG, first)
    return rest and one_name("untag", rest, last)
  end,
  describe = function(first, last)
    local rest = behind(DESCRIBE, first)
    if rest == nil or rest > last then
      return nil
    end
    local text = trim(intent, rest, last)
    return text ~= "" and { verb = "describe", text = text } or nil
  end,
}

local function sentence_at(first, last)
  local verb = intent:match("^%a+", first)
  local read = verb and #verb <= 8 and SENTENCES[verb:lower()]
  return read and read(first, last) or nil
end

-- The intent as sentences; else nil and the part that is none. From the end to the beginning, so
-- that where a sentence ends is known when it is read: at the next one, or at the very end.
local function sentences()
  local starts = {}
  local first = intent:find("[^%s;]")
  if first == nil then
    return nil, ""
  end
  starts[1] = first
  local from = first
  while true do
    local separator = intent:find("[;\n]", from)
    local start = separator and intent:find("[^%s;]", separator)
    if start == nil then
      break
    end
    starts[#starts + 1] = start
    from = start
  end

  local found = {}
  local last = #intent
  local limit = last
  for n = #starts, 1, -1 do
    local start = starts[n]
    local sentence = sentence_at(start, limit)
    if sentence ~= nil then
      found[#found + 1] = sentence
      -- What comes before ends at the separator before this one.
      limit = start - 1
      while limit > 0 and intent:find("^[%s;]", limit) do
        limit = limit - 1
      end
    elseif n == 1 then
      return nil, intent:sub(start, limit)
    end
  end
  -- They were found from the end.
  local ordered = {}
  for n = #found, 1, -1 do
    ordered[#ordered + 1] = found[n]
  end
  return ordered
end

-- Operations ------------------------------------------------------------------------------------

local function escape(key)
  return (key:gsub("~", "~0"):gsub("/", "~1"))
end

-- What stands at `pointer` in `document`, or nil.
local function at(document, pointer)
  local found = document
  local from = 2
  while from <= #pointer + 1 do
    local stop = pointer:find("/", from, true) or #pointer + 1
    local key = pointer:sub(from, stop - 1):gsub("~1", "/"):gsub("~0", "~")
    if type(found) ~= "table" then
      return nil
    elseif host.is_array(found) then
      if key ~= "0" and not key:find("^[1-9]%d*$") then
        return nil
      end
      found = found[(math.tointeger(tonumber(key)) or -1) + 1]
    else
      found = found[key]
    end
    from = stop + 1
  end
  return found
end

-- The place of an agent, counted from 0; else nil and a message.
local function agent_place(document, name)
  local names = {}
  if host.is_array(document.agents) then
    for n, agent in ipairs(document.agents) do
      if is_object(agent) then
        if agent.name == name then
          return n - 1, agent
        end
        names[#names + 1] = tostring(agent.name)
      end
    end
  end
  return nil, string.format("there is no agent %q; there are: %s", name, table.concat(names, ", "))
end

-- Sets `key` of the object at `parent`, which is made if it is missing or null.
local function set_member(document, parent, key, value)
  local object = at(document, parent)
  if object == nil or object == host.null then
    return { { op = "add", path = parent, value = host.object({ [key] = value }) } }
  end
  local path = parent .. "/" .. escape(key)
  return { { op = at(document, path) == nil and "add" or "replace", path = path, value = value } }
end

-- Each returns the operations of a sentence on `document`, and a remark if it says something that
-- the sentence does not.
local OPERATIONS = {
  set = function(document, s)
    return { { op = at(document, s.pointer) == nil and "add" or "replace", path = s.pointer, value = s.value } }
  end,
  add = function(document, s)
    local target = at(document, s.pointer)
    return { { op = "add", path = host.is_array(target) and s.pointer .. "/-" or s.pointer, value = s.value } }
  end,
  remove = function(_, s)
    return { { op = "remove", path = s.pointer } }
  end,
  rename = function(document, s)
    local place, problem = agent_place(document, s.from)
    if place == nil then
      return nil, problem
    end
    local ops = { { op = "replace", path = string.format("/agents/%d/name", place), value = s.to } }
    -- The list of places is kept in `shared/src/blueprint/refs.rs`.
    for _, ref in ipairs(host.agent_refs(document, s.from)) do
      if ref.is_key then
        local target = ref.pointer:match("^.*/") .. escape(s.to)
        if s.to ~= s.from and at(document, target) ~= nil then
          return nil, target .. " exists already; remove it first"
        end
        ops[#ops + 1] = { op = "move", from = ref.pointer, path = target }
      else
        ops[#ops + 1] = { op = "replace", path = ref.pointer, value = s.to }
      end
    end
    return ops
  end,
  tag = function(document, s)
    local tags = at(document, "/metadata/tags")
    if tags == nil or tags == host.null then
      return set_member(document, "/metadata", "tags", host.array({ s.name }))
    end
    if host.is_array(tags) then
      for _, tag in ipairs(tags) do
        if tag == s.name then
          return {}, string.format("the tag %q is there already", s.name)
        end
      end
    end
    return { { op = "add", path = "/metadata/tags/-", value = s.name } }
  end,
  untag = function(document, s)
    local ops = {}
    local tags = at(document, "/metadata/tags")
    if host.is_array(tags) then
      for n = #tags, 1, -1 do
        if tags[n] == s.name then
          ops[#ops + 1] = { op = "remove", path = string.format("/metadata/tags/%d", n - 1) }
        end
      end
    end
    return ops, #ops == 0 and string.format("the tag %q is not there", s.name) or nil
  end,
  describe = function(document, s)
    return set_member(document, "/metadata", "description", s.text)
  end,
  profile = function(document, s)
    local place, problem = agent_place(document, s.agent)
    if place == nil then
      return nil, problem
    end
    return set_member(document, string.format("/agents/%d/profile", place), s.field, s.text)
  end,
}

local function nothing(rationale)
  return { ops = host.array(), bump = "patch", rationale = rationale }
end

-- The spawner -----------------------------------------------------------------------------------

local text = trim(intent, 1, #intent)
local first = text:sub(1, 1)
local json_problem
if first == "[" or first == "{" then
  local value, problem = host.json_parse(text)
  local patch = problem == nil and patch_from_json(value, "as given in the intent")
  if patch then
    return patch
  end
  json_problem = problem or "it is JSON, but neither an array of operations nor an object with ops"
end

-- A prompt or description may hold a fenced block of its own.
local begin = intent:find("%S") or 1
if not (behind(PROMPT_OF, begin) or behind(DESCRIBE, begin)) then
  local patch, problem = patch_in_fence()
  if patch ~= nil then
    return patch
  end
  json_problem = json_problem or problem
end

local understood, strange = sentences()
if understood == nil then
  local why = json_problem and string.format(" (read as JSON: %s)", json_problem) or ""
  return nothing(string.format('not understood: "%s"%s; understood are: %s', cut(strange, 120), why, UNDERSTOOD))
end

-- Each sentence is about the document that the ones before it leave.
local document = assert(host.yaml_to_json(_CTX.prev_bp_yaml))
local ops, remarks = host.array(), {}
for n, sentence in ipairs(understood) do
  local own, remark = OPERATIONS[sentence.verb](document, sentence)
  if own == nil then
    return nothing(remark)
  end
  remarks[#remarks + 1] = remark
  for _, op in ipairs(own) do
    ops[#ops + 1] = op
  end
  if n < #understood and #own > 0 then
    local after = host.json_patch(document, host.array(own))
    -- What does not apply here will not apply later: the applier says so.
    document = after or document
  end
end

local rationale = cut(text, 500)
if #remarks > 0 then
  rationale = rationale .. " (" .. table.concat(remarks, "; ") .. ")"
end
return { ops = ops, bump = "patch", rationale = rationale }
