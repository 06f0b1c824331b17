--- Removes, sets and adds headers, on requests and on responses.
--
-- Settings, each optional:
--   request   what to do with the headers of requests
--   response  what to do with the headers of responses
-- Either takes `remove` (a list of names), `set` (name: value; replaces) and `add` (name: value or list of values),
-- and does them in this order.

local function check_values(where, values, lists)
  for name, value in pairs(values) do
    local ok = type(value) == "string" or type(value) == "number" or (lists and type(value) == "table")
    if type(name) ~= "string" or not ok then
      error(("%s: %s must be a text"):format(where, name), 0)
    end
  end
end

local CHECKS = {
  remove = function(where, names)
    for _, name in ipairs(names) do
      if type(name) ~= "string" then error(where .. ": must be a list of names", 0) end
    end
  end,
  set = function(where, values) check_values(where, values, false) end,
  add = function(where, values) check_values(where, values, true) end,
}

function on_init(config)
  for side, changes in pairs(config) do
    if side ~= "request" and side ~= "response" then
      error(("unknown setting %q (known: request, response)"):format(side), 0)
    end
    if type(changes) ~= "table" then error(side .. " must have add, remove or set", 0) end
    for kind, values in pairs(changes) do
      local check = CHECKS[kind]
      if not check then error(("unknown setting %q in %s (known: add, remove, set)"):format(kind, side), 0) end
      if type(values) ~= "table" then error(("%s.%s must be a list or a map"):format(side, kind), 0) end
      check(side .. "." .. kind, values)
    end
  end
end

local function apply(headers, changes)
  for _, name in ipairs(changes.remove or {}) do headers:remove(name) end
  for name, value in pairs(changes.set or {}) do headers:replace(name, value) end
  for name, values in pairs(changes.add or {}) do
    if type(values) ~= "table" then values = { values } end
    for _, value in ipairs(values) do headers:add(name, value) end
  end
end

function on_request(handle)
  local changes = handle:config().request
  if changes then apply(handle:headers(), changes) end
end

function on_response(handle)
  local changes = handle:config().response
  if changes then apply(handle:headers(), changes) end
end
